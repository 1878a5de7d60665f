/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A question is made as a message when it comes, and sent when it is its turn; the query that stands for it owns both, and is ended in one function.
 * Accounts with questions that wait take turns, one question a turn. */

#include "bus/polkit.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <string.h>

#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_FLAG_INTERACTIVE 1U

#define TIMEOUT_USEC (10 * USEC_PER_SEC)
/* A person is to find the password. */
#define TIMEOUT_INTERACTIVE_USEC (120 * USEC_PER_SEC)

/* A uid that asks. */
typedef struct Account {
        uid_t uid;
        GQueue waiting; /* Query */
        unsigned n_asked;
} Account;

struct Polkit {
        sd_bus *bus;          /* borrowed; NULL: no connection */
        GHashTable *accounts; /* uid → Account; those with a query */
        GHashTable *queries;  /* Query, as a set */
        GQueue turns;         /* accounts with queries that wait */
        unsigned n_asked, n_interactive;
        uint64_t last_number;
};

typedef struct Query {
        Polkit *polkit;
        Account *account;
        char *sender;
        char *cancellation;
        bool interactive;
        sd_bus_message *question;
        sd_bus_slot *call; /* NULL: it waits for its turn */
        PolkitFunc done;
        void *userdata;
} Query;

static int append_question(sd_bus_message *message, const PolkitQuestion *question, const char *cancellation) {
        int r;

        r = sd_bus_message_append(message, "(sa{sv})s", "system-bus-name", 1, "name", "s", question->sender, question->action);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{ss}");
        for (const char *const *detail = question->details; r >= 0 && detail && detail[0] && detail[1]; detail += 2)
                r = sd_bus_message_append(message, "{ss}", detail[0], detail[1]);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_append(message, "us", question->interactive ? POLKIT_FLAG_INTERACTIVE : 0, cancellation);
}

static Query *query_free(Query *query) {
        if (!query)
                return NULL;
        sd_bus_slot_unref(query->call);
        sd_bus_message_unref(query->question);
        g_free(query->sender);
        g_free(query->cancellation);
        g_free(query);
        return NULL;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Query, query_free)

static int query_new(Polkit *polkit, const PolkitQuestion *question, Query **ret) {
        g_autoptr(Query) query = g_new0(Query, 1);
        int r;

        query->polkit = polkit;
        query->sender = g_strdup(question->sender);
        query->cancellation = g_strdup_printf("%" PRIu64, ++polkit->last_number);
        query->interactive = question->interactive;
        r = sd_bus_message_new_method_call(polkit->bus, &query->question, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r >= 0)
                r = append_question(query->question, question, query->cancellation);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(query);
        return 0;
}

/* polkit would go on to ask a person for somebody who has left. */
static void query_cancel(Query *query) {
        g_autoptr(sd_bus_message) message = NULL;
        int r;

        if (!query->polkit->bus)
                return;
        r = sd_bus_message_new_method_call(query->polkit->bus, &message, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CancelCheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(message, "s", query->cancellation);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(message, 0);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(message, 0);
        if (r >= 0)
                (void) sd_bus_send(query->polkit->bus, message, NULL);
}

static void account_settle(Account *account, Polkit *polkit) {
        if (account->n_asked == 0 && g_queue_is_empty(&account->waiting))
                g_hash_table_remove(polkit->accounts, GUINT_TO_POINTER(account->uid));
}

/* The only end of a query. Its account is to be settled by the caller. */
static void query_end(Query *query, PolkitVerdict verdict, const char *problem) {
        Polkit *polkit = query->polkit;
        Account *account = query->account;

        if (query->call) {
                account->n_asked--;
                polkit->n_asked--;
                polkit->n_interactive -= query->interactive;
        } else if (g_queue_remove(&account->waiting, query) && g_queue_is_empty(&account->waiting))
                g_queue_remove(&polkit->turns, account);
        g_hash_table_remove(polkit->queries, query);
        query->done(query->userdata, verdict, problem);
        query_free(query);
}

static void polkit_go_on(Polkit *polkit);

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *reterr) {
        Query *query = userdata;
        Polkit *polkit = query->polkit;
        Account *account = query->account;
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        g_autofree char *problem = NULL;
        PolkitVerdict verdict;
        int authorized, challenge;

        if (error) {
                verdict = sd_bus_error_has_name(error, SD_BUS_ERROR_DISCONNECTED) ? POLKIT_DROPPED : POLKIT_FAILED;
                problem = g_strdup_printf("polkit didn't answer (%s)", error->message ?: error->name);
                /* Time is up, or polkit is going: it isn't to ask anybody any more. */
                if (!sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN))
                        query_cancel(query);
        } else if (!sd_bus_message_has_signature(reply, "(bba{ss})") || sd_bus_message_enter_container(reply, 'r', "bba{ss}") <= 0 ||
                   sd_bus_message_read(reply, "bb", &authorized, &challenge) <= 0) {
                verdict = POLKIT_FAILED;
                problem = g_strdup("polkit's answer makes no sense");
        } else if (authorized)
                verdict = POLKIT_ALLOWED;
        else
                verdict = challenge && !query->interactive ? POLKIT_CHALLENGE : POLKIT_DENIED;
        query_end(query, verdict, problem);
        account_settle(account, polkit);
        polkit_go_on(polkit);
        return 0;
}

static bool query_may_be_asked(const Query *query) {
        const Polkit *polkit = query->polkit;

        if (polkit->n_asked >= LIMIT_POLKIT_ASKED || query->account->n_asked >= LIMIT_POLKIT_ASKED_UID)
                return false;
        /* Those whom a person keeps waiting leave room for those who don't wait for one. */
        return !query->interactive || polkit->n_interactive < LIMIT_POLKIT_INTERACTIVE;
}

static int query_ask(Query *query) {
        Polkit *polkit = query->polkit;
        int r;

        r = sd_bus_call_async(polkit->bus, &query->call, query->question, on_answer, query, query->interactive ? TIMEOUT_INTERACTIVE_USEC : TIMEOUT_USEC);
        if (r < 0)
                return r;
        query->question = sd_bus_message_unref(query->question);
        query->account->n_asked++;
        polkit->n_asked++;
        polkit->n_interactive += query->interactive;
        return 0;
}

/* A turn of the account at the head. True: it has asked. */
static bool polkit_take_turn(Polkit *polkit) {
        Account *account = g_queue_pop_head(&polkit->turns);
        Query *query = g_queue_peek_head(&account->waiting);
        bool may = query_may_be_asked(query);

        if (may) {
                g_queue_pop_head(&account->waiting);
                if (query_ask(query) < 0)
                        query_end(query, POLKIT_FAILED, "polkit can't be asked");
        }
        if (g_queue_is_empty(&account->waiting))
                account_settle(account, polkit);
        else
                g_queue_push_tail(&polkit->turns, account);
        return may;
}

static void polkit_go_on(Polkit *polkit) {
        bool asked;

        do {
                asked = false;
                for (unsigned left = g_queue_get_length(&polkit->turns); left > 0; left--)
                        asked |= polkit_take_turn(polkit);
        } while (asked);
}

static Account *polkit_get_account(Polkit *polkit, uid_t uid) {
        Account *account = g_hash_table_lookup(polkit->accounts, GUINT_TO_POINTER(uid));

        if (account)
                return account;
        account = g_new0(Account, 1);
        account->uid = uid;
        g_queue_init(&account->waiting);
        g_hash_table_insert(polkit->accounts, GUINT_TO_POINTER(uid), account);
        return account;
}

int polkit_ask(Polkit *polkit, const PolkitQuestion *question, PolkitFunc done, void *userdata) {
        g_autoptr(Query) query = NULL;
        Account *account;
        int r;

        if (!polkit->bus)
                return -ENOTCONN;
        r = query_new(polkit, question, &query);
        if (r < 0)
                return r;
        account = polkit_get_account(polkit, question->uid);
        if (account->n_asked + g_queue_get_length(&account->waiting) >= LIMIT_POLKIT_WAITING)
                return -EBUSY;
        query->account = account;
        query->done = done;
        query->userdata = userdata;
        /* At once if it can be, so that what can't be sent is told to who asks. */
        if (g_queue_is_empty(&account->waiting) && query_may_be_asked(query)) {
                r = query_ask(query);
                if (r < 0) {
                        account_settle(account, polkit);
                        return r;
                }
        } else {
                if (g_queue_is_empty(&account->waiting))
                        g_queue_push_tail(&polkit->turns, account);
                g_queue_push_tail(&account->waiting, query);
        }
        g_hash_table_add(polkit->queries, TAKE_PTR(query));
        return 0;
}

/* sender: NULL: those of all. */
static void polkit_drop(Polkit *polkit, const char *sender) {
        g_autoptr(GPtrArray) dropped = g_ptr_array_new();
        GHashTableIter iter;
        gpointer key;

        g_hash_table_iter_init(&iter, polkit->queries);
        while (g_hash_table_iter_next(&iter, &key, NULL))
                if (!sender || strcmp(((Query *) key)->sender, sender) == 0)
                        g_ptr_array_add(dropped, key);
        for (unsigned i = 0; i < dropped->len; i++) {
                Query *query = dropped->pdata[i];
                Account *account = query->account;

                if (query->call)
                        query_cancel(query);
                query_end(query, POLKIT_DROPPED, NULL);
                account_settle(account, polkit);
        }
}

void polkit_drop_sender(Polkit *polkit, const char *sender) {
        polkit_drop(polkit, sender);
        polkit_go_on(polkit);
}

void polkit_attach(Polkit *polkit, sd_bus *bus) {
        polkit_drop(polkit, NULL);
        polkit->bus = bus;
}

Polkit *polkit_new(void) {
        Polkit *polkit = g_new0(Polkit, 1);

        polkit->accounts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        polkit->queries = g_hash_table_new(NULL, NULL);
        g_queue_init(&polkit->turns);
        return polkit;
}

Polkit *polkit_free(Polkit *polkit) {
        if (!polkit)
                return NULL;
        polkit_attach(polkit, NULL);
        g_hash_table_unref(polkit->accounts);
        g_hash_table_unref(polkit->queries);
        g_free(polkit);
        return NULL;
}
