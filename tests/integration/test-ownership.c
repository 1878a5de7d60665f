/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who owns a runtime, how that is told and changed, and that the leaving of nobody else ends it. When and how it ends: test-ownership-loss. */

#include <string.h>

#include "owner.h"

static void start_fails(Harness *h, const char *more, const char *mentioned) {
        g_autofree char *message =
                client_call_fails(h->client, NULL, "StartRuntime", g_variant_new("(s@a{sv})", "command", options_shell("exit 0", more)), "InvalidOption");

        if (!strstr(message, mentioned))
                harness_fail(h, "the message doesn't mention \"%s\": %s", mentioned, message);
}

static void test_none(Harness *h) {
        g_autofree char *path = NULL, *other = NULL, *owners = NULL;
        Client *starter;

        harness_start_daemon(h, NULL);
        starter = client_new(h);
        path = start(starter, NULL);
        other = start(starter, "{'Owner': <'none'>, 'OwnerName': <'nobody'>}");
        assert_owner(h, path, NULL, "");
        assert_owner(h, other, NULL, "");
        leave(h, starter);
        stop_undisturbed(h, path);
        stop_undisturbed(h, other);
        owners = owners_signalled(h, other);
        g_assert_cmpstr(owners, ==, "");
}

static void test_caller(Harness *h) {
        g_autofree char *path = NULL, *owners = NULL, *expected = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerName': <'A notebook: größe'>}");
        assert_owner(h, path, owner, "A notebook: größe");
        expected = g_strdup_printf("%s,,", name_of(owner));
        leave(h, owner);
        wait_owner_gone(h, path, NULL);
        assert_owner(h, path, NULL, "");
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, expected);
        client_wait_signal(h->client, path, "Ended");
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

/* The change of the property comes before the signal that names the news. */
static void test_properties(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) changed = NULL;
        const char *owner = NULL, *name = NULL;
        const Signal *before = NULL, *signal;

        harness_start_daemon(h, NULL);
        path = start(h->client, NULL);
        take(h->client, path, "{'OwnerName': <'me'>}");
        client_wait_signal(h->client, path, "OwnerChanged");
        for (size_t n = 0; (signal = client_find_signal(h->client, path, NULL, n)) && strcmp(signal->member, "OwnerChanged") != 0; n++)
                before = signal;
        g_assert_cmpstr(before->member, ==, "PropertiesChanged");
        changed = g_variant_get_child_value(before->parameters, 1);
        g_assert_true(g_variant_lookup(changed, "Owner", "&s", &owner));
        g_assert_true(g_variant_lookup(changed, "OwnerName", "&s", &name));
        g_assert_cmpstr(owner, ==, name_of(h->client));
        g_assert_cmpstr(name, ==, "me");
        stop_undisturbed(h, path);
}

static void test_bad_options(Harness *h) {
        static const struct {
                const char *options, *mentioned;
        } table[] = {
                {"{'Owner': <'me'>}", "Owner"},
                {"{'OwnerName': <5>}", "OwnerName"},
                {"{'OwnerName': <'a\\nb'>}", "OwnerName"},
                {"{'OwnerGraceUSec': <'long'>}", "OwnerGraceUSec"},
                {"{'OwnerGraceUSec': <uint64 18446744073709551615>}", "OwnerGraceUSec"},
                {"{'Replace': <'yes'>}", "Replace"},
        };
        g_autofree char *path = NULL;

        harness_start_daemon(h, NULL);
        start_fails(h, "{'Owner': <'somebody'>}", "Owner");
        start_fails(h, "{'Owner': <true>}", "Owner");
        start_fails(h, "{'Owner': <'required'>, 'OwnerTimeoutUSec': <uint64 0>}", "OwnerTimeoutUSec");
        start_fails(h, "{'Owner': <'caller'>, 'OwnerName': <'a\\nb'>}", "OwnerName");

        path = start(h->client, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
                g_autofree char *message = take_fails(h->client, path, table[i].options, "InvalidOption");

                if (!strstr(message, table[i].mentioned))
                        harness_fail(h, "the message doesn't mention \"%s\": %s", table[i].mentioned, message);
        }
        /* Refused, nothing of it was done. */
        g_free(take_fails(h->client, path, "{'OwnerName': <'x'>, 'Lasting': <true>}", "InvalidOption"));
        assert_owner(h, path, NULL, "");
        stop_undisturbed(h, path);
}

static void test_take(Harness *h) {
        g_autofree char *path = NULL, *message = NULL, *owners = NULL, *expected = NULL;
        Client *first, *second;

        harness_start_daemon(h, NULL);
        first = client_new(h);
        second = client_new(h);
        path = start(h->client, NULL);
        take(first, path, "{'OwnerName': <'the first'>}");
        assert_owner(h, path, first, "the first");

        message = take_fails(second, path, "@a{sv} {}", "HasOwner");
        g_assert_nonnull(strstr(message, "the first"));
        g_free(take_fails(second, path, "{'Replace': <false>}", "HasOwner"));
        assert_owner(h, path, first, "the first");

        take(second, path, "{'Replace': <true>, 'OwnerName': <'the second'>}");
        assert_owner(h, path, second, "the second");
        expected = g_strdup_printf("%s,%s,,", name_of(first), name_of(second));
        /* It owns nothing any more. */
        leave(h, first);
        assert_ready(h, path);
        assert_owner(h, path, second, "the second");
        leave(h, second);
        wait_owner_gone(h, path, NULL);
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, expected);
}

static void test_take_again(Harness *h) {
        g_autofree char *path = NULL, *owners = NULL, *expected = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = start(owner, "{'Owner': <'caller'>, 'OwnerName': <'old'>, 'OwnerGraceUSec': " AN_HOUR "}");
        take(owner, path, "{'OwnerName': <'new'>}");
        assert_owner(h, path, owner, "new");
        /* What isn't given stays. */
        take(owner, path, "{'OwnerGraceUSec': <uint64 0>}");
        assert_owner(h, path, owner, "new");
        owners = owners_signalled(h, path);
        expected = g_strdup_printf("%s,", name_of(owner));
        g_assert_cmpstr(owners, ==, expected);
        leave(h, owner);
        wait_owner_gone(h, path, NULL);
}

static void test_release(Harness *h) {
        g_autofree char *path = NULL, *owners = NULL, *expected = NULL;
        Client *owner, *other;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        other = client_new(h);
        path = start(owner, "{'Owner': <'caller'>}");
        g_free(client_call_fails(other, path, "ReleaseOwnership", NULL, "BadState"));
        assert_owner(h, path, owner, "");
        release(owner, path);
        assert_owner(h, path, NULL, "");
        g_free(client_call_fails(owner, path, "ReleaseOwnership", NULL, "BadState"));
        expected = g_strdup_printf("%s,,%s,,", name_of(owner), name_of(other));
        leave(h, owner);
        assert_ready(h, path);
        /* Free for anybody. */
        take(other, path, "@a{sv} {}");
        assert_owner(h, path, other, "");
        release(other, path);
        leave(h, other);
        stop_undisturbed(h, path);
        owners = owners_signalled(h, path);
        g_assert_cmpstr(owners, ==, expected);
}

/* The starter, a subscriber of everything, one who waits, one who stopped something else. */
static void test_others(Harness *h) {
        g_autofree char *path = NULL, *mine = NULL;
        Client *starter, *subscriber, *owner, *bystander;

        harness_start_daemon(h, NULL);
        starter = client_new(h);
        subscriber = client_new(h);
        owner = client_new(h);
        bystander = client_new(h);
        path = start(starter, NULL);
        mine = start(bystander, "{'Owner': <'caller'>}");
        take(owner, path, "@a{sv} {}");
        g_variant_unref(client_call(subscriber, path, "Subscribe", g_variant_new("(tu)", (guint64) 0, 3)));
        leave(h, starter);
        leave(h, subscriber);
        leave(h, bystander);
        wait_owner_gone(h, mine, NULL);
        assert_owner(h, path, owner, "");
        stop_undisturbed(h, path);
        leave(h, owner);
}

static void test_two_of_one(Harness *h) {
        g_autofree char *first = NULL, *second = NULL, *theirs = NULL;
        Client *owner, *other;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        other = client_new(h);
        first = start(owner, "{'Owner': <'caller'>}");
        theirs = start(other, "{'Owner': <'caller'>}");
        second = start(other, NULL);
        take(owner, second, "@a{sv} {}");
        leave(h, owner);
        wait_owner_gone(h, first, NULL);
        wait_owner_gone(h, second, NULL);
        assert_owner(h, theirs, other, "");
        stop_undisturbed(h, theirs);
        leave(h, other);
}

static void test_after_end(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) before = NULL, after = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command", options_shell("exit 0", "{'Owner': <'caller'>}"));
        before = client_wait_ended(h->client, path);
        g_free(take_fails(owner, path, "@a{sv} {}", "BadState"));
        leave(h, owner);
        assert_owner(h, path, NULL, "");
        after = client_get(h->client, path, "EndReport");
        g_assert_true(g_variant_equal(before, after));
        client_sync(h->client);
        g_assert_null(client_find_signal(h->client, path, "Ended", 1));
}

static void test_while_stopping(Harness *h) {
        g_autofree char *path = NULL;
        g_autoptr(GVariant) report = NULL;
        Client *owner;

        harness_start_daemon(h, NULL);
        owner = client_new(h);
        path = client_start(owner, "command",
                            options_shell("trap '' TERM; echo deaf; while :; do sleep 1; done",
                                          "{'Owner': <'required'>, 'TimeoutStopUSec': " AN_HOUR ", 'OwnerTimeoutUSec': " AN_HOUR "}"));
        take(owner, path, "@a{sv} {}");
        wait_has_printed(h, path);
        client_stop(h->client, path);
        client_wait_state(h->client, path, "stopping");
        g_free(take_fails(owner, path, "@a{sv} {}", "BadState"));
        g_free(take_fails(h->client, path, "{'Replace': <true>}", "BadState"));
        /* These only change who owns it: it is ending already. */
        release(owner, path);
        assert_owner(h, path, NULL, "");
        leave(h, owner);
        g_variant_unref(client_call(h->client, path, "Stop", g_variant_new_parsed("({'TimeoutStopUSec': <uint64 0>},)")));
        report = client_wait_ended(h->client, path);
        report_check(report, "{'Result': <'stopped'>, 'RequestedBy': <'client'>, 'StopStage': <'kill'>}", NULL);
}

int main(int argc, char *argv[]) {
        static const HarnessCase cases[] = {
                {"a-runtime-without-an-owner-outlives-its-starter", test_none},
                {"a-runtime-of-its-caller-ends-when-that-leaves", test_caller},
                {"the-properties-change-before-OwnerChanged", test_properties},
                {"options-that-make-no-sense-are-refused", test_bad_options},
                {"ownership-is-taken-over-with-Replace-alone", test_take},
                {"the-owner-may-take-it-again", test_take_again},
                {"the-owner-alone-can-release-it", test_release},
                {"nobody-elses-leaving-matters", test_others},
                {"all-runtimes-of-one-owner-end-and-no-others", test_two_of_one},
                {"an-owner-that-leaves-after-the-end-changes-nothing", test_after_end},
                {"nobody-can-take-one-that-is-stopping", test_while_stopping},
        };

        return harness_main(argc, argv, "ownership", cases, G_N_ELEMENTS(cases));
}
