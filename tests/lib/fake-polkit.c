/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A filter takes the calls, so that no library stands between a wrong answer and the bus; filters run in GDBus's own thread, and hand them over. */

#include "fake-polkit.h"

#include <string.h>

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

struct FakePolkit {
        GDBusConnection *bus;
        guint filter;
        FakePolkitAnswer answer;
        GPtrArray *questions; /* FakePolkitQuestion */
};

static void question_free(gpointer data) {
        FakePolkitQuestion *question = data;

        g_free(question->subject_kind);
        g_free(question->subject_name);
        g_free(question->action);
        g_hash_table_unref(question->details);
        g_free(question->cancellation);
        g_clear_object(&question->call);
        g_free(question);
}

static GVariant *make_body(const FakePolkitQuestion *question, FakePolkitAnswer answer) {
        gboolean asked = (question->flags & 1) != 0;

        switch (answer) {
        case FAKE_POLKIT_YES:
                return g_variant_new_parsed("((true, false, @a{ss} {}),)");
        case FAKE_POLKIT_NO:
                return g_variant_new_parsed("((false, false, @a{ss} {}),)");
        case FAKE_POLKIT_CHALLENGE:
                return g_variant_new_parsed("((%b, %b, @a{ss} {}),)", asked, !asked);
        case FAKE_POLKIT_GARBAGE:
                return g_variant_new_parsed("(true, 'yes')");
        case FAKE_POLKIT_EMPTY:
        case FAKE_POLKIT_WAIT:
        case FAKE_POLKIT_ERROR:
                break;
        }
        return NULL;
}

static void question_answer(FakePolkit *polkit, FakePolkitQuestion *question, FakePolkitAnswer answer) {
        g_autoptr(GDBusMessage) reply = NULL;
        GVariant *body;

        if (answer == FAKE_POLKIT_WAIT)
                return;
        reply = answer == FAKE_POLKIT_ERROR ? g_dbus_message_new_method_error(question->call, POLKIT_NAME ".Error.Failed", "Out of %s", "order")
                                            : g_dbus_message_new_method_reply(question->call);
        body = make_body(question, answer);
        if (body)
                g_dbus_message_set_body(reply, body);
        g_dbus_connection_send_message(polkit->bus, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
        g_clear_object(&question->call);
}

static void take_question(FakePolkit *polkit, GDBusMessage *call) {
        FakePolkitQuestion *question = g_new0(FakePolkitQuestion, 1);
        g_autoptr(GVariant) subject = NULL;
        GVariantIter *details;
        char *key, *value;

        g_assert_cmpstr(g_dbus_message_get_signature(call), ==, "(sa{sv})sa{ss}us");
        question->details = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_variant_get(g_dbus_message_get_body(call), "((s@a{sv})sa{ss}us)", &question->subject_kind, &subject, &question->action, &details, &question->flags,
                      &question->cancellation);
        g_assert_true(g_variant_lookup(subject, "name", "s", &question->subject_name));
        while (g_variant_iter_next(details, "{ss}", &key, &value))
                g_assert_true(g_hash_table_insert(question->details, key, value));
        g_variant_iter_free(details);
        question->call = g_object_ref(call);
        g_ptr_array_add(polkit->questions, question);
        question_answer(polkit, question, polkit->answer);
}

static void take_cancellation(FakePolkit *polkit, GDBusMessage *call) {
        const char *cancellation;

        g_variant_get(g_dbus_message_get_body(call), "(&s)", &cancellation);
        for (guint i = 0; i < polkit->questions->len; i++) {
                FakePolkitQuestion *question = polkit->questions->pdata[i];

                if (strcmp(question->cancellation, cancellation) == 0)
                        question->cancelled = TRUE;
        }
}

typedef struct Taken {
        FakePolkit *polkit;
        GDBusMessage *call;
} Taken;

static gboolean on_taken(gpointer userdata) {
        g_autofree Taken *taken = userdata;
        g_autoptr(GDBusMessage) call = taken->call;

        if (g_strcmp0(g_dbus_message_get_member(call), "CheckAuthorization") == 0)
                take_question(taken->polkit, call);
        else
                take_cancellation(taken->polkit, call);
        return G_SOURCE_REMOVE;
}

static GDBusMessage *on_message(GDBusConnection *bus, GDBusMessage *message, gboolean incoming, gpointer userdata) {
        Taken *taken;

        if (!incoming || g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL ||
            g_strcmp0(g_dbus_message_get_interface(message), POLKIT_INTERFACE) != 0)
                return message;
        taken = g_new(Taken, 1);
        *taken = (Taken){userdata, message};
        g_idle_add_full(G_PRIORITY_DEFAULT, on_taken, taken, NULL);
        return NULL;
}

FakePolkit *fake_polkit_new(const char *address) {
        FakePolkit *polkit = g_new0(FakePolkit, 1);
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        guint result;

        polkit->questions = g_ptr_array_new_with_free_func(question_free);
        polkit->bus = g_dbus_connection_new_for_address_sync(
                address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        polkit->filter = g_dbus_connection_add_filter(polkit->bus, on_message, polkit, NULL);
        reply = g_dbus_connection_call_sync(polkit->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
                                            g_variant_new("(su)", POLKIT_NAME, 4U), G_VARIANT_TYPE("(u)"), 0, -1, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(u)", &result);
        g_assert_cmpuint(result, ==, 1);
        return polkit;
}

FakePolkit *fake_polkit_free(FakePolkit *polkit) {
        if (!polkit)
                return NULL;
        g_dbus_connection_remove_filter(polkit->bus, polkit->filter);
        g_dbus_connection_close_sync(polkit->bus, NULL, NULL);
        g_object_unref(polkit->bus);
        /* What the filter has handed over. */
        while (g_main_context_iteration(NULL, FALSE))
                ;
        g_ptr_array_unref(polkit->questions);
        g_free(polkit);
        return NULL;
}

void fake_polkit_set_answer(FakePolkit *polkit, FakePolkitAnswer answer) {
        polkit->answer = answer;
}

void fake_polkit_release(FakePolkit *polkit, FakePolkitAnswer answer) {
        for (guint i = 0; i < polkit->questions->len; i++) {
                FakePolkitQuestion *question = polkit->questions->pdata[i];

                if (question->call && !question->cancelled) {
                        question_answer(polkit, question, answer);
                        return;
                }
        }
        g_assert_not_reached();
}

void fake_polkit_flush(FakePolkit *polkit) {
        g_autoptr(GVariant) reply =
                g_dbus_connection_call_sync(polkit->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetId", NULL, NULL, 0, -1, NULL, NULL);

        g_assert_nonnull(reply);
}

guint fake_polkit_get_n_questions(FakePolkit *polkit) {
        return polkit->questions->len;
}

guint fake_polkit_get_n_waiting(FakePolkit *polkit) {
        guint n = 0;

        for (guint i = 0; i < polkit->questions->len; i++) {
                const FakePolkitQuestion *question = polkit->questions->pdata[i];

                n += question->call && !question->cancelled;
        }
        return n;
}

guint fake_polkit_get_n_cancelled(FakePolkit *polkit) {
        guint n = 0;

        for (guint i = 0; i < polkit->questions->len; i++)
                n += ((const FakePolkitQuestion *) polkit->questions->pdata[i])->cancelled;
        return n;
}

const FakePolkitQuestion *fake_polkit_get_question(FakePolkit *polkit, guint number) {
        g_assert_cmpuint(number, <, polkit->questions->len);
        return polkit->questions->pdata[number];
}

const char *fake_polkit_question_get_detail(const FakePolkitQuestion *question, const char *key) {
        return g_hash_table_lookup(question->details, key);
}
