/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The window, over a real message bus, with peers that read when the test lets them: what was sent and not acknowledged is counted, asked about with few
 * pings, and only the peer's own answer counts. */

#include "bus/peer.h"

#include <string.h>
#include <sys/socket.h>

#include "core/sd-autoptr.h"
#include "loop.h"
#include "private-bus.h"
#include "util/limits.h"
#include "util/macro.h"

/* From here on it is worth a ping. */
#define WORTH (LIMIT_WINDOW / 8)

typedef struct Client {
        sd_bus *bus;
        const char *name;
        unsigned n_pings;
        bool refuses; /* answers pings with an error */
} Client;

typedef struct Fixture {
        sd_event *event;
        GSource *source;
        sd_bus *bus;
        PeerTable *table;
        GString *room, *gone, *rewound; /* names, each with a space behind it */
        unsigned n_asked, n_acknowledged;
} Fixture;

static sd_bus *connect_to_bus(void) {
        sd_bus *bus;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, private_bus_address()), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, 1), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        return bus;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Client *client = userdata;

        if (!sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Peer", "Ping"))
                return 0;
        client->n_pings++;
        if (!client->refuses)
                return 0;
        (void) sd_bus_reply_method_errorf(message, SD_BUS_ERROR_UNKNOWN_METHOD, "No pings here.");
        return 1;
}

static Client *client_new(void) {
        Client *client = g_new0(Client, 1);

        client->bus = connect_to_bus();
        g_assert_cmpint(sd_bus_add_filter(client->bus, NULL, on_message, client), >=, 0);
        g_assert_cmpint(sd_bus_get_unique_name(client->bus, &client->name), >=, 0);
        return client;
}

static void client_free(Client *client) {
        sd_bus_flush_close_unref(client->bus);
        g_free(client);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)

/* Reads all there is. True, for AWAIT. */
static gboolean client_reads(Client *client) {
        int r;

        do {
                r = sd_bus_process(client->bus, NULL);
                g_assert_cmpint(r, >=, 0);
        } while (r > 0);
        return TRUE;
}

static void on_room(void *userdata, Peer *peer) {
        Fixture *fixture = userdata;

        g_string_append_printf(fixture->room, "%s ", peer_get_name(peer));
}

static void on_gone(void *userdata, Peer *peer) {
        Fixture *fixture = userdata;

        g_string_append_printf(fixture->gone, "%s ", peer_get_name(peer));
}

static void on_asked(void *userdata, Peer *peer) {
        Fixture *fixture = userdata;

        fixture->n_asked++;
}

static void on_acknowledged(void *userdata, Peer *peer) {
        Fixture *fixture = userdata;

        fixture->n_acknowledged++;
}

static void on_rewind(void *userdata, Peer *peer) {
        Fixture *fixture = userdata;

        g_string_append_printf(fixture->rewound, "%s ", peer_get_name(peer));
}

static const PeerHandler handler = {
        .on_asked = on_asked,
        .on_acknowledged = on_acknowledged,
        .on_rewind = on_rewind,
        .on_room = on_room,
        .on_gone = on_gone,
};

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        g_assert_cmpint(sd_event_source_set_time_relative(source, 5 * USEC_PER_MSEC), >=, 0);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static Fixture *fixture_new_for_many(unsigned pings_max, unsigned pings_max_uid, uint64_t window_uid) {
        Fixture *fixture = g_new0(Fixture, 1);

        g_assert_cmpint(sd_event_new(&fixture->event), >=, 0);
        fixture->source = loop_add_event(fixture->event);
        fixture->room = g_string_new(NULL);
        fixture->gone = g_string_new(NULL);
        fixture->rewound = g_string_new(NULL);
        fixture->bus = connect_to_bus();
        g_assert_cmpint(sd_bus_attach_event(fixture->bus, fixture->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
        g_assert_cmpint(peer_table_new(pings_max, pings_max_uid, window_uid, &handler, fixture, &fixture->table), >=, 0);
        g_assert_cmpint(peer_table_attach(fixture->table, fixture->bus), >=, 0);
        /* The clients aren't in the loop: they are looked at now and then. */
        g_assert_cmpint(sd_event_add_time_relative(fixture->event, NULL, CLOCK_MONOTONIC, 0, 0, on_tick, NULL), >=, 0);
        return fixture;
}

static Fixture *fixture_new(unsigned pings_max) {
        return fixture_new_for_many(pings_max, pings_max, UINT64_MAX);
}

static void fixture_free(Fixture *fixture) {
        peer_table_free(fixture->table);
        sd_bus_flush_close_unref(fixture->bus);
        g_source_destroy(fixture->source);
        g_source_unref(fixture->source);
        sd_event_unref(fixture->event);
        g_string_free(fixture->room, TRUE);
        g_string_free(fixture->gone, TRUE);
        g_string_free(fixture->rewound, TRUE);
        g_free(fixture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static int on_id(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        *(gboolean *) userdata = TRUE;
        return 0;
}

/* All that the table has sent is where it is to go, and what was answered to it before is here. */
static void sync_bus(Fixture *fixture) {
        sd_bus_slot *call = NULL;
        gboolean done = FALSE;

        g_assert_cmpint(sd_bus_call_method_async(fixture->bus, &call, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", on_id,
                                                 &done, NULL),
                        >=, 0);
        AWAIT(done);
        sd_bus_slot_unref(call);
}

static Peer *known_peer(Fixture *fixture, const char *name) {
        Peer *peer = peer_table_get(fixture->table, name);

        if (!peer_is_vouched(peer))
                peer_set_uid(peer, 1000, true);
        return peer;
}

static void test_little_is_worth_no_ping(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(Client) client = client_new();
        Peer *peer = known_peer(fixture, client->name);

        g_assert_true(peer_table_find(fixture->table, client->name) == peer);
        g_assert_cmpuint(peer_get_room(peer), ==, LIMIT_WINDOW);
        peer_sent(peer, WORTH - 1);
        g_assert_cmpuint(peer_get_room(peer), ==, LIMIT_WINDOW - WORTH + 1);
        sync_bus(fixture);
        client_reads(client);
        g_assert_cmpuint(client->n_pings, ==, 0);
        g_assert_false(peer_is_silent(peer, 0));

        peer_sent(peer, 1);
        AWAIT(client_reads(client) && peer_get_room(peer) == LIMIT_WINDOW);
        g_assert_cmpuint(client->n_pings, ==, 1);
        g_assert_nonnull(strstr(fixture->room->str, client->name));
        g_assert_cmpstr(fixture->gone->str, ==, "");
}

static gboolean is_silent_for(Peer *peer, uint64_t usec) {
        return peer_is_silent(peer, usec);
}

static void test_silence(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(Client) client = client_new();
        Peer *peer = known_peer(fixture, client->name);

        peer_sent(peer, LIMIT_WINDOW - 10);
        g_assert_false(peer_is_full(peer));
        g_assert_cmpuint(peer_get_room(peer), ==, 10);
        peer_sent(peer, 300 * 1024);
        g_assert_true(peer_is_full(peer));
        g_assert_cmpuint(peer_get_room(peer), ==, 0);
        AWAIT(is_silent_for(peer, 20 * USEC_PER_MSEC));
        g_assert_cmpuint(client->n_pings, ==, 0);

        /* One ping is there; its answer is for what was sent before it, a second one for the rest. */
        client_reads(client);
        g_assert_cmpuint(client->n_pings, ==, 1);
        AWAIT(!peer_is_full(peer));
        g_assert_cmpuint(peer_get_room(peer), ==, LIMIT_WINDOW - 300 * 1024);
        AWAIT(client_reads(client) && peer_get_room(peer) == LIMIT_WINDOW);
        g_assert_cmpuint(client->n_pings, ==, 2);
        g_assert_cmpuint(fixture->n_asked, ==, 2);
        g_assert_cmpuint(fixture->n_acknowledged, ==, 2);
        g_assert_false(peer_is_silent(peer, 0));
}

static void test_an_error_of_the_peer(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(Client) client = client_new();
        Peer *peer = known_peer(fixture, client->name);

        client->refuses = true;
        peer_sent(peer, LIMIT_WINDOW);
        AWAIT(client_reads(client) && peer_get_room(peer) == LIMIT_WINDOW);
        g_assert_cmpuint(client->n_pings, ==, 1);
}

/* The bus answers in the place of one who left: nobody has read anything. */
static void test_leaving(void) {
        g_autoptr(Fixture) fixture = fixture_new(1);
        g_autoptr(Client) second = client_new();
        Client *first = client_new();
        g_autofree char *name = g_strdup(first->name), *gone = g_strdup_printf("%s ", name);
        Peer *peer = known_peer(fixture, first->name), *other = known_peer(fixture, second->name);

        peer_sent(peer, LIMIT_WINDOW);
        peer_sent(other, LIMIT_WINDOW);
        sync_bus(fixture);
        client_free(first);
        AWAIT(strcmp(fixture->gone->str, gone) == 0);
        g_assert_null(peer_table_find(fixture->table, name));
        g_assert_null(strstr(fixture->room->str, name));
        g_assert_cmpuint(fixture->n_acknowledged, ==, 0);
        /* Its ping doesn't count any more: there is one for the next. */
        AWAIT(client_reads(second) && peer_get_room(other) == LIMIT_WINDOW);
        g_assert_cmpstr(fixture->gone->str, ==, gone);
}

static void test_a_name_that_is_nobodys(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        Peer *peer = known_peer(fixture, ":1.4000000");

        peer_sent(peer, LIMIT_WINDOW);
        AWAIT(strcmp(fixture->gone->str, ":1.4000000 ") == 0);
        g_assert_cmpstr(fixture->room->str, ==, "");
        g_assert_null(peer_table_find(fixture->table, ":1.4000000"));
}

static void test_few_pings_at_a_time(void) {
        g_autoptr(Fixture) fixture = fixture_new(2);
        Client *clients[5];
        Peer *peers[5];
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client_new();
                peers[i] = known_peer(fixture, clients[i]->name);
                peer_sent(peers[i], LIMIT_WINDOW);
        }
        /* Who can't be asked has not answered. */
        g_assert_true(peer_is_silent(peers[4], USEC_PER_SEC));
        g_assert_false(peer_is_silent(peers[0], 3600 * USEC_PER_SEC));
        sync_bus(fixture);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                client_reads(clients[i]);
                n += clients[i]->n_pings;
        }
        g_assert_cmpuint(n, ==, 2);
        g_assert_cmpuint(clients[0]->n_pings + clients[1]->n_pings, ==, 2);

        /* In turns all are asked, in their order, once. */
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                AWAIT(client_reads(clients[i]) && peer_get_room(peers[i]) == LIMIT_WINDOW);
                g_assert_cmpuint(clients[i]->n_pings, ==, 1);
        }
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_free(clients[i]);
}

/* Those of one uid that answer none of theirs keep nobody else from being asked. */
static void test_few_pings_of_one_uid(void) {
        g_autoptr(Fixture) fixture = fixture_new_for_many(8, 2, UINT64_MAX);
        g_autoptr(Client) other = client_new();
        Peer *peers[5], *peer;
        Client *clients[5];
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client_new();
                peers[i] = known_peer(fixture, clients[i]->name);
                peer_sent(peers[i], LIMIT_WINDOW);
        }
        peer = peer_table_get(fixture->table, other->name);
        peer_set_uid(peer, 1001, true);
        peer_sent(peer, LIMIT_WINDOW);
        AWAIT(client_reads(other) && peer_get_room(peer) == LIMIT_WINDOW);
        sync_bus(fixture);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                client_reads(clients[i]);
                n += clients[i]->n_pings;
        }
        g_assert_cmpuint(n, ==, 2);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                AWAIT(client_reads(clients[i]) && peer_get_room(peers[i]) == LIMIT_WINDOW);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_free(clients[i]);
}

/* However many connections a user has, what they don't read together is bounded; others don't notice. */
static void test_the_window_of_a_uid(void) {
        g_autoptr(Fixture) fixture = fixture_new_for_many(8, 2, 4 * LIMIT_WINDOW);
        g_autoptr(Client) other = client_new();
        Peer *peers[5], *peer;
        Client *clients[5];
        unsigned n = 0;
        int stream;

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client_new();
                peers[i] = known_peer(fixture, clients[i]->name);
                if (i < 4)
                        peer_sent(peers[i], LIMIT_WINDOW - 1);
        }
        g_assert_cmpuint(peer_get_room(peers[4]), ==, 4);
        peer_sent(peers[4], 4);
        g_assert_true(peer_is_full(peers[4]));
        g_assert_cmpuint(peer_get_room(peers[4]), ==, 0);
        peer = peer_table_get(fixture->table, other->name);
        peer_set_uid(peer, 1001, true);
        g_assert_cmpuint(peer_get_room(peer), ==, LIMIT_WINDOW);
        /* Refusals of all of them are bounded, too. */
        while (peer_refuse(peers[n % ELEMENTSOF(peers)], LIMIT_REFUSALS / 8))
                n++;
        g_assert_cmpuint(n, <=, LIMIT_WINDOW / (LIMIT_REFUSALS / 8) + 1);

        /* One that waits hears of the room that another makes, be it by leaving. */
        g_ptr_array_add(peer_get_streams(peers[4]), &stream);
        for (size_t i = 0; i < 4; i++)
                client_free(clients[i]);
        AWAIT(strstr(fixture->room->str, clients[4]->name));
        AWAIT(client_reads(clients[4]) && peer_get_room(peers[4]) > LIMIT_WINDOW / 2);
        g_ptr_array_remove(peer_get_streams(peers[4]), &stream);
        client_free(clients[4]);
}

static gboolean all_read(Client *const *clients, size_t n) {
        return n == 0 || (client_reads(clients[n - 1]) && all_read(clients, n - 1));
}

/* What is worth no ping by itself is asked about when there is much of it in all. */
static void test_little_of_many(void) {
        g_autoptr(Fixture) fixture = fixture_new_for_many(8, 2, LIMIT_WINDOW);
        Client *clients[12];
        Peer *peers[12];

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client_new();
                peers[i] = known_peer(fixture, clients[i]->name);
                peer_sent(peers[i], WORTH - 1);
        }
        g_assert_true(peer_is_full(peers[0]));
        AWAIT(all_read(clients, ELEMENTSOF(clients)) && peer_get_room(peers[0]) > LIMIT_WINDOW / 2);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_free(clients[i]);
}

/* What was sent before it was known whose it is counts, too. */
static void test_the_window_of_a_uid_that_is_found_out(void) {
        g_autoptr(Fixture) fixture = fixture_new_for_many(8, 2, LIMIT_WINDOW);
        Peer *peer = peer_table_get(fixture->table, ":1.1"), *other = known_peer(fixture, ":1.2");

        peer_sent(peer, LIMIT_WINDOW / 4);
        g_assert_cmpuint(peer_get_room(other), ==, LIMIT_WINDOW);
        peer_set_uid(peer, peer_get_uid(other), true);
        g_assert_cmpuint(peer_get_room(other), ==, LIMIT_WINDOW - LIMIT_WINDOW / 4);
        g_assert_cmpint(peer_table_attach(fixture->table, NULL), >=, 0);
        g_assert_cmpint(peer_table_attach(fixture->table, fixture->bus), >=, 0);
        g_assert_cmpuint(peer_get_room(other), ==, LIMIT_WINDOW);
}

/* Who isn't vouched for is sent nothing. */
static void test_not_vouched_for(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        Peer *peer = peer_table_get(fixture->table, ":1.1");

        peer_set_behind(peer, true);
        g_assert_cmpuint(peer_get_room(peer), ==, 0);
        peer_set_uid(peer, 1000, false);
        g_assert_cmpuint(peer_get_room(peer), ==, 0);
        g_assert_cmpstr(fixture->room->str, ==, "");
        peer_set_uid(peer, 1000, true);
        g_assert_cmpuint(peer_get_room(peer), ==, LIMIT_WINDOW);
        g_assert_cmpstr(fixture->room->str, ==, ":1.1 ");
}

/* One who leaves while it waits for its turn. */
static void test_leaving_while_waiting(void) {
        g_autoptr(Fixture) fixture = fixture_new(1);
        g_autoptr(Client) first = client_new(), third = client_new();
        Client *second = client_new();
        Peer *peer = known_peer(fixture, first->name), *last;

        peer_sent(peer, LIMIT_WINDOW);
        peer_sent(known_peer(fixture, second->name), LIMIT_WINDOW);
        last = known_peer(fixture, third->name);
        peer_sent(last, LIMIT_WINDOW);
        sync_bus(fixture);
        client_free(second);
        AWAIT(fixture->gone->len > 0);
        AWAIT(client_reads(first) && peer_get_room(peer) == LIMIT_WINDOW);
        AWAIT(client_reads(third) && peer_get_room(last) == LIMIT_WINDOW);
}

static void test_refusals_are_bounded(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(Client) client = client_new();
        Peer *peer = known_peer(fixture, client->name);
        size_t refused = 0;

        peer_sent(peer, LIMIT_WINDOW);
        while (peer_refuse(peer, 512)) {
                refused += 512;
                g_assert_cmpuint(refused, <=, LIMIT_REFUSALS);
        }
        g_assert_cmpuint(refused, ==, LIMIT_REFUSALS);
        g_assert_false(peer_refuse(peer, 512));

        /* Who has read is refused nothing, and later may be refused again. */
        AWAIT(client_reads(client) && !peer_is_full(peer));
        peer_sent(peer, LIMIT_WINDOW);
        g_assert_true(peer_refuse(peer, 512));
}

/* A bus that takes nothing any more, because of whomever: no output for anybody, but who reads is answered. */
static void test_the_bus_as_a_whole(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(Client) client = client_new(), reader = client_new();
        Peer *flooded = known_peer(fixture, client->name), *peer = known_peer(fixture, reader->name);
        int stream;

        g_ptr_array_add(peer_get_streams(peer), &stream);
        for (unsigned i = 0; i < 16; i++)
                peer_sent(flooded, LIMIT_WINDOW);
        g_assert_cmpuint(peer_get_room(peer), ==, 0);
        g_assert_false(peer_is_full(peer));
        /* The bus answers for itself; the one who reads nothing stays out. */
        AWAIT(peer_get_room(peer) == LIMIT_WINDOW);
        g_assert_nonnull(strstr(fixture->room->str, reader->name));
        g_assert_null(strstr(fixture->room->str, client->name));
        g_assert_cmpuint(peer_get_room(flooded), ==, 0);
        g_ptr_array_remove(peer_get_streams(peer), &stream);
}

static sd_bus *open_end(int fd, bool server) {
        sd_bus *bus;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_fd(bus, fd, fd), >=, 0);
        g_assert_cmpint(sd_bus_set_anonymous(bus, 1), >=, 0);
        if (server)
                g_assert_cmpint(sd_bus_set_server(bus, 1, SD_ID128_MAKE(52, 75, 6e, 74, 69, 6d, 65, 4d, 61, 6e, 61, 67, 65, 72, 2e, 32)), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        return bus;
}

static int on_swallow(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return 1;
}

/* Whatever sd-bus makes of waiting too long: the bus has not answered. */
static void test_a_bus_that_is_silent(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(sd_bus) ours = NULL, theirs = NULL;
        sd_bus_slot *call = NULL;
        gboolean done = FALSE;
        Peer *peer, *other;
        int pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), ==, 0);
        ours = open_end(pair[0], false);
        theirs = open_end(pair[1], true);
        g_assert_cmpint(sd_bus_attach_event(ours, fixture->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(theirs, fixture->event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
        g_assert_cmpint(sd_bus_add_filter(theirs, NULL, on_swallow, NULL), >=, 0);
        g_assert_cmpint(sd_bus_set_method_call_timeout(ours, 20 * USEC_PER_MSEC), >=, 0);
        g_assert_cmpint(peer_table_attach(fixture->table, ours), >=, 0);

        peer = known_peer(fixture, ":1.1");
        other = known_peer(fixture, ":1.2");
        peer_sent(peer, 16 * LIMIT_WINDOW);
        g_assert_cmpint(sd_bus_call_method_async(ours, &call, NULL, "/", "some.interface", "Method", on_id, &done, NULL), >=, 0);
        AWAIT(done);
        g_assert_cmpuint(peer_get_room(other), ==, 0);
        sd_bus_slot_unref(call);
        g_assert_cmpint(peer_table_attach(fixture->table, NULL), >=, 0);
}

static void test_no_connection(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(Client) client = client_new();
        Peer *peer = known_peer(fixture, client->name);

        peer_sent(peer, LIMIT_WINDOW);
        g_assert_cmpint(peer_table_attach(fixture->table, NULL), >=, 0);
        g_assert_cmpuint(peer_get_room(peer), ==, 0);
        peer_sent(peer, LIMIT_WINDOW);
        sync_bus(fixture);
        g_assert_cmpstr(fixture->gone->str, ==, "");
        g_assert_cmpstr(fixture->room->str, ==, "");
}

static void test_the_same_bus_again(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        g_autoptr(Client) client = client_new(), subscriber = client_new();
        g_autofree char *left = g_strdup_printf("%s ", client->name);
        Peer *peer = known_peer(fixture, subscriber->name), *lost = known_peer(fixture, ":1.4000000");

        (void) known_peer(fixture, client->name);
        peer_set_subscription(peer, 2);
        peer_set_subscription(lost, 2);
        g_assert_cmpint(peer_table_attach(fixture->table, NULL), >=, 0);
        g_assert_cmpint(peer_table_attach(fixture->table, fixture->bus), >=, 0);
        peer_table_recheck(fixture->table, true);
        g_assert_cmpstr(fixture->gone->str, ==, left);
        g_assert_nonnull(strstr(fixture->room->str, subscriber->name));
        AWAIT(client_reads(subscriber) && peer_get_room(peer) == LIMIT_WINDOW);
        g_assert_cmpuint(subscriber->n_pings, ==, 1);
        /* Who left meanwhile is found out. */
        AWAIT(strstr(fixture->gone->str, ":1.4000000 "));
        g_assert_cmpuint(peer_get_subscription(peer), ==, 2);
}

static void test_another_bus(void) {
        g_autoptr(Fixture) fixture = fixture_new(8);
        Peer *peer = known_peer(fixture, ":1.7");

        peer_set_subscription(peer, 3);
        g_assert_cmpint(peer_table_attach(fixture->table, NULL), >=, 0);
        g_assert_cmpint(peer_table_attach(fixture->table, fixture->bus), >=, 0);
        peer_table_recheck(fixture->table, false);
        g_assert_cmpstr(fixture->gone->str, ==, ":1.7 ");
        g_assert_null(peer_table_find(fixture->table, ":1.7"));
}

int main(int argc, char *argv[]) {
        int r;

        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/peer/little-is-worth-no-ping", test_little_is_worth_no_ping);
        g_test_add_func("/peer/silence-is-counted-and-asked-about-once", test_silence);
        g_test_add_func("/peer/an-error-of-the-peer-is-an-answer", test_an_error_of_the_peer);
        g_test_add_func("/peer/leaving-is-no-answer", test_leaving);
        g_test_add_func("/peer/leaving-while-waiting-for-a-ping", test_leaving_while_waiting);
        g_test_add_func("/peer/a-name-that-is-nobodys", test_a_name_that_is_nobodys);
        g_test_add_func("/peer/few-pings-at-a-time", test_few_pings_at_a_time);
        g_test_add_func("/peer/few-pings-of-one-uid", test_few_pings_of_one_uid);
        g_test_add_func("/peer/uid/one-window-for-all", test_the_window_of_a_uid);
        g_test_add_func("/peer/uid/little-of-many", test_little_of_many);
        g_test_add_func("/peer/uid/found-out", test_the_window_of_a_uid_that_is_found_out);
        g_test_add_func("/peer/not-vouched-for", test_not_vouched_for);
        g_test_add_func("/peer/refusals-are-bounded", test_refusals_are_bounded);
        g_test_add_func("/peer/the-bus-as-a-whole", test_the_bus_as_a_whole);
        g_test_add_func("/peer/a-bus-that-is-silent", test_a_bus_that_is_silent);
        g_test_add_func("/peer/connection/none", test_no_connection);
        g_test_add_func("/peer/connection/the-same-bus-again", test_the_same_bus_again);
        g_test_add_func("/peer/connection/another-bus", test_another_bus);
        r = g_test_run();
        private_bus_stop();
        return r;
}
