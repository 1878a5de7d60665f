/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A call that takes polkit's word is held by exactly one Held, which ends in one of three ways: it is refused, it is forgotten with its caller or the
 * connection, or the call is put back into the queue, by the message itself and not by its number, which is the caller's to choose. When it is dispatched
 * the verdict is that of `current`, which lasts until the next call. It counts for the question that was asked: should the answer to "what is this about"
 * have changed meanwhile, there is no verdict on that. */

#include "bus/auth.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "bus/message-size.h"
#include "bus/polkit.h"
#include "core/sd-autoptr.h"
#include "util/limits.h"
#include "util/macro.h"
#include "util/names.h"
#include "util/text.h"

/* What a detail of a question may take. */
#define DETAIL_MAX 256U

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"

struct Auth {
        AuthMode mode;
        const AuthHandler *handler;
        void *userdata;
        sd_bus *bus; /* borrowed; NULL: no connection */
        Polkit *polkit;
        GHashTable *decided; /* message → Held: they come again */
        struct Held *current;
        GHashTable *held_sizes; /* uid → bytes of calls that are held for it */
        bool is_failing;        /* polkit; it is logged once */
};

typedef struct Held {
        Auth *auth;
        sd_bus_message *call;
        uid_t caller;
        size_t size;
        const char *action;
        char *question;
        char *name; /* of the runtime that it is about, if a refusal must look as if there weren't one; or NULL */
        bool granted;
        bool dropped; /* the caller left when it was decided */
} Held;

static Held *held_free(Held *held) {
        gpointer uid;
        size_t left;

        if (!held)
                return NULL;
        uid = GUINT_TO_POINTER(held->caller);
        left = GPOINTER_TO_SIZE(g_hash_table_lookup(held->auth->held_sizes, uid)) - held->size;
        if (left > 0)
                g_hash_table_insert(held->auth->held_sizes, uid, GSIZE_TO_POINTER(left));
        else
                g_hash_table_remove(held->auth->held_sizes, uid);
        sd_bus_message_unref(held->call);
        g_free(held->question);
        g_free(held->name);
        g_free(held);
        return NULL;
}

/* What is asked: an action, and details (key, value, …) of one line each. */
typedef struct Question {
        const char *action;
        GPtrArray *details; /* NULL-terminated */
        const char *name;   /* see Held */
} Question;

static void question_done(Question *question) {
        if (question->details)
                g_ptr_array_unref(question->details);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Question, question_done)

static void question_init(Question *question, const char *action) {
        *question = (Question){action, g_ptr_array_new_with_free_func(g_free), NULL};
}

static void question_add(Question *question, const char *key, const char *value) {
        g_ptr_array_add(question->details, g_strdup(key));
        g_ptr_array_add(question->details, text_one_line(value, DETAIL_MAX) ?: g_strdup(""));
}

static void question_add_uid(Question *question, const char *key, uid_t uid) {
        g_autofree char *value = g_strdup_printf("%u", uid);

        question_add(question, key, value);
}

/* For comparing: no value has a newline. */
static char *question_to_string(const Question *question) {
        GString *text = g_string_new(question->action);

        for (unsigned i = 0; i < question->details->len; i++)
                g_string_append_printf(text, "\n%s", (char *) question->details->pdata[i]);
        return g_string_free(text, FALSE);
}

static bool auth_is_granted(const Auth *auth, sd_bus_message *call, const Question *question) {
        const Held *current = auth->current;
        g_autofree char *text = NULL;

        if (!current || current->call != call || !current->granted)
                return false;
        text = question_to_string(question);
        return strcmp(current->question, text) == 0;
}

typedef struct Action {
        const char *name;
        const char *what;
} Action;

static const Action actions[] = {
        {RM_ACTION_START, "start runtimes"},
        {RM_ACTION_START_AS_USER, "start runtimes as another user"},
        {RM_ACTION_MANAGE, "manage this service"},
        {RM_ACTION_MONITOR, "see the numbers of all users' runtimes"},
};

static const char *action_to_words(const char *action) {
        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                if (strcmp(actions[i].name, action) == 0)
                        return actions[i].what;
        return "do this";
}

static void refuse(const Held *held, PolkitVerdict verdict, const char *problem) {
        const char *what = action_to_words(held->action);

        if (verdict == POLKIT_CHALLENGE)
                (void) sd_bus_reply_method_errorf(held->call, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                                  "You may %s only after authentication: allow interactive authorization with the call (%s).", what,
                                                  held->action);
        else if (verdict == POLKIT_FAILED)
                (void) sd_bus_reply_method_errorf(held->call, SD_BUS_ERROR_ACCESS_DENIED, "You may not %s: %s (%s).", what, problem, held->action);
        else
                (void) sd_bus_reply_method_errorf(held->call, SD_BUS_ERROR_ACCESS_DENIED,
                                                  "You may not %s: polkit doesn't allow it; its rules are the administrator's (%s).", what, held->action);
}

/* The call comes again, through the filter, as if it had just arrived. */
static void held_put_back(Held *held) {
        Auth *auth = held->auth;
        int r;

        r = sd_bus_message_rewind(held->call, 1);
        if (r >= 0)
                r = sd_bus_enqueue_for_read(auth->bus, held->call);
        if (r < 0) {
                (void) sd_bus_reply_method_errno(held->call, r, NULL);
                held_free(held);
                return;
        }
        g_hash_table_insert(auth->decided, held->call, held);
}

static void on_verdict(void *userdata, PolkitVerdict verdict, const char *problem) {
        Held *held = userdata;
        Auth *auth = held->auth;

        if (verdict == POLKIT_FAILED && !auth->is_failing)
                auth->handler->on_failing(auth->userdata, held->action, problem);
        if (verdict != POLKIT_DROPPED)
                auth->is_failing = verdict == POLKIT_FAILED;
        held->granted = verdict == POLKIT_ALLOWED;
        if (verdict == POLKIT_DROPPED)
                held_free(held);
        else if (held->granted || held->name)
                held_put_back(held);
        else {
                refuse(held, verdict, problem);
                held_free(held);
        }
}

/* Holds the call and asks; negative: refused. */
static int auth_ask(Auth *auth, sd_bus_message *call, uid_t caller, const Question *question, sd_bus_error *reterr) {
        size_t size = message_size(call, LIMIT_HELD_CALL), held_size = GPOINTER_TO_SIZE(g_hash_table_lookup(auth->held_sizes, GUINT_TO_POINTER(caller)));
        PolkitQuestion asked = {
                .sender = sd_bus_message_get_sender(call),
                .uid = caller,
                .action = question->action,
                .interactive = sd_bus_message_get_allow_interactive_authorization(call) > 0,
        };
        Held *held;
        int r;

        if (size >= LIMIT_HELD_CALL)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "The call is too long to wait for its authorization (%u bytes).", LIMIT_HELD_CALL);
        if (held_size + size > LIMIT_HELD_CALLS)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "Calls of %u bytes wait for their authorization; try again when they are answered.",
                                         LIMIT_HELD_CALLS);
        held = g_new(Held, 1);
        *held = (Held){auth, sd_bus_message_ref(call), caller, size, question->action, question_to_string(question), g_strdup(question->name), false, false};
        g_hash_table_insert(auth->held_sizes, GUINT_TO_POINTER(caller), GSIZE_TO_POINTER(held_size + size));
        g_ptr_array_add(question->details, NULL);
        asked.details = (const char *const *) question->details->pdata;
        r = polkit_ask(auth->polkit, &asked, on_verdict, held);
        if (r >= 0)
                return 0;
        held_free(held);
        if (r == -EBUSY)
                return sd_bus_error_setf(reterr, RM_ERROR_LIMIT_EXCEEDED, "%u calls wait for their authorization; try again when they are answered.",
                                         LIMIT_POLKIT_WAITING);
        return sd_bus_error_setf(reterr, SD_BUS_ERROR_ACCESS_DENIED, "polkit can't be asked: %s.", g_strerror(-r));
}

/* Refuses what has no row as what isn't there. */
static void refuse_unlisted(sd_bus_message *call) {
        if (sd_bus_message_is_method_call(call, PROPERTIES_INTERFACE, "Set"))
                (void) sd_bus_reply_method_errorf(call, SD_BUS_ERROR_PROPERTY_READ_ONLY, "No property can be set.");
        else if (sd_bus_message_is_method_call(call, PROPERTIES_INTERFACE, "Get"))
                (void) sd_bus_reply_method_errorf(call, SD_BUS_ERROR_UNKNOWN_PROPERTY, "Unknown property or interface.");
        else
                (void) sd_bus_reply_method_errorf(call, SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method %s or interface %s.", sd_bus_message_get_member(call),
                                                  sd_bus_message_get_interface(call) ?: "");
}

/* Reads up to two strings; missing ones are "": then the call has the wrong signature, and sd-bus refuses it. */
static void read_strings(sd_bus_message *call, const char **ret_first, const char **ret_second) {
        *ret_first = *ret_second = "";
        if (sd_bus_message_rewind(call, 1) >= 0 && sd_bus_message_read(call, "s", ret_first) > 0)
                (void) sd_bus_message_read(call, "s", ret_second);
        (void) sd_bus_message_rewind(call, 1);
}

static AuthNeed call_get_need(sd_bus_message *call) {
        AuthNeed need = auth_method_need(sd_bus_message_get_interface(call), sd_bus_message_get_member(call));
        const char *interface, *property;

        if (need != AUTH_NOBODY && sd_bus_message_is_method_call(call, PROPERTIES_INTERFACE, "Get")) {
                read_strings(call, &interface, &property);
                return auth_property_need(interface, property);
        }
        return need;
}

/* What the call is about: false: no runtime. */
static bool call_find_target(Auth *auth, sd_bus_message *call, uid_t caller, AuthNeed need, AuthTarget *ret) {
        const char *path = sd_bus_message_get_path(call), *id, *ignored;

        *ret = (AuthTarget){.uid = UID_NOBODYS, .starter_uid = UID_NOBODYS};
        /* The same for any path. */
        if (g_strcmp0(sd_bus_message_get_interface(call), "org.freedesktop.DBus.Peer") == 0)
                return false;
        if (g_str_has_prefix(path, RM_RUNTIME_PREFIX "/")) {
                auth->handler->find_target(auth->userdata, caller, path, true, ret);
                return true;
        }
        if ((need != AUTH_SEE && need != AUTH_OWN) || g_strcmp0(sd_bus_message_get_interface(call), RM_MANAGER_INTERFACE) != 0)
                return false;
        read_strings(call, &id, &ignored);
        auth->handler->find_target(auth->userdata, caller, id, false, ret);
        return true;
}

bool auth_sees_all(const Auth *auth, uid_t caller) {
        return auth->mode == AUTH_MODE_USER || caller == 0;
}

bool auth_may_see(const Auth *auth, uid_t caller, uid_t uid, uid_t starter_uid) {
        return auth_sees_all(auth, caller) || (caller != UID_NOBODYS && (caller == uid || caller == starter_uid));
}

bool auth_may_reach(const Auth *auth, sd_bus_message *call, uid_t caller, const char *name, uid_t uid, uid_t starter_uid) {
        const Held *current = auth->current;

        if (auth_may_see(auth, caller, uid, starter_uid))
                return true;
        return current && call && current->call == call && current->granted && current->caller == caller && g_strcmp0(current->name, name) == 0;
}

/* Of this nothing may be said that the call itself doesn't say: a person may be shown it. */
static void question_init_manage(Question *question, sd_bus_message *call, const AuthTarget *target) {
        question_init(question, RM_ACTION_MANAGE);
        question_add(question, "verb", sd_bus_message_get_member(call));
        if (!target)
                return;
        question_add(question, "id", target->name);
        question_add_uid(question, "owner", target->uid);
        question->name = target->name;
}

static void question_init_start(Question *question, sd_bus_message *call, uid_t caller, const AuthStart *start) {
        question_init(question, start->uid == caller ? RM_ACTION_START : RM_ACTION_START_AS_USER);
        question_add(question, "verb", sd_bus_message_get_member(call));
        question_add(question, "kind", start->kind ?: "");
        question_add(question, "id", start->id ?: "");
        question_add(question, "user", start->user ?: "");
        question_add_uid(question, "owner", start->uid);
}

/* 1: allowed. 0: asked. Negative: refused. */
static int auth_require(Auth *auth, sd_bus_message *call, uid_t caller, const Question *question, sd_bus_error *reterr) {
        if (caller == 0 || auth_is_granted(auth, call, question))
                return 1;
        return auth_ask(auth, call, caller, question, reterr);
}

/* As auth_require(). target: NULL: it is about none. */
static int auth_check_need(Auth *auth, sd_bus_message *call, uid_t caller, AuthNeed need, const AuthTarget *target, sd_bus_error *reterr) {
        g_auto(Question) question = {};
        AuthStart start;

        switch (need) {
        case AUTH_ANYBODY:
        case AUTH_START:
        case AUTH_SEE:
        case AUTH_OWN:
                return 1;
        case AUTH_RESTART:
                /* Nowhere else than at a runtime's path there is such a method. Who only manages it isn't its starter. */
                if (!target || !auth_may_see(auth, caller, target->uid, target->starter_uid))
                        return 1;
                start = (AuthStart){target->kind, target->name, target->uid, target->user};
                question_init_start(&question, call, caller, &start);
                return auth_require(auth, call, caller, &question, reterr);
        case AUTH_ADMIN:
                question_init_manage(&question, call, NULL);
                return auth_require(auth, call, caller, &question, reterr);
        case AUTH_MONITOR:
                question_init(&question, RM_ACTION_MONITOR);
                question_add(&question, "verb", sd_bus_message_get_member(call));
                return auth_require(auth, call, caller, &question, reterr);
        case AUTH_NOBODY:
                break;
        }
        return sd_bus_error_set(reterr, SD_BUS_ERROR_ACCESS_DENIED, "Nobody may do this.");
}

/* again: polkit has been asked, and what it doesn't allow is not asked about twice. */
static int auth_check_call(Auth *auth, sd_bus_message *call, uid_t caller, bool again) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        AuthNeed need = call_get_need(call);
        AuthTarget target;
        bool has_target;
        int r;

        has_target = call_find_target(auth, call, caller, need, &target);
        if (has_target && !(target.exists && auth_may_reach(auth, call, caller, target.name, target.uid, target.starter_uid))) {
                g_auto(Question) question = {};

                /* Dispatched, for what is answered then is what is always answered when nothing is found. Names that are nobody's or the
                 * caller's own tell it nothing. */
                if (again || caller == 0 || target.uid == caller || target.uid == UID_NOBODYS)
                        return 0;
                question_init_manage(&question, call, &target);
                r = auth_ask(auth, call, caller, &question, &error);
        } else if (need == AUTH_NOBODY) {
                refuse_unlisted(call);
                return 1;
        } else
                r = auth_check_need(auth, call, caller, need, has_target ? &target : NULL, &error);
        if (r < 0)
                (void) sd_bus_reply_method_error(call, &error);
        return r > 0 ? 0 : 1;
}

int auth_filter(Auth *auth, sd_bus_message *call, uid_t caller) {
        auth->current = held_free(auth->current);
        if (auth->mode == AUTH_MODE_USER)
                return 0;
        return auth_check_call(auth, call, caller, false);
}

bool auth_again(Auth *auth, sd_bus_message *call, int *ret_result) {
        Held *held = g_hash_table_lookup(auth->decided, call);

        if (!held)
                return false;
        g_hash_table_remove(auth->decided, call);
        held_free(auth->current);
        auth->current = held;
        *ret_result = held->dropped ? 1 : auth_check_call(auth, call, held->caller, true);
        return true;
}

AuthVerdict *auth_keep_verdict(Auth *auth, sd_bus_message *call) {
        return auth->current && auth->current->call == call ? TAKE_PTR(auth->current) : NULL;
}

void auth_resume_verdict(Auth *auth, AuthVerdict *verdict) {
        if (!verdict)
                return;
        held_free(auth->current);
        auth->current = verdict;
}

AuthVerdict *auth_drop_verdict(AuthVerdict *verdict) {
        return held_free(verdict);
}

int auth_check_start(Auth *auth, sd_bus_message *call, uid_t caller, const AuthStart *start, sd_bus_error *reterr) {
        g_auto(Question) question = {};

        if (auth->mode == AUTH_MODE_USER)
                return 1;
        if (start->uid == 0 && caller != 0)
                return sd_bus_error_set(reterr, SD_BUS_ERROR_ACCESS_DENIED, "Only root may start runtimes as root.");
        question_init_start(&question, call, caller, start);
        return auth_require(auth, call, caller, &question, reterr);
}

void auth_drop_peer(Auth *auth, const char *name) {
        GHashTableIter iter;
        gpointer value;

        polkit_drop_sender(auth->polkit, name);
        g_hash_table_iter_init(&iter, auth->decided);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                Held *held = value;

                held->dropped |= g_strcmp0(sd_bus_message_get_sender(held->call), name) == 0;
        }
}

void auth_attach(Auth *auth, sd_bus *bus) {
        GHashTableIter iter;
        gpointer value;

        polkit_attach(auth->polkit, bus);
        g_hash_table_iter_init(&iter, auth->decided);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
                g_hash_table_iter_remove(&iter);
                held_free(value);
        }
        auth->current = held_free(auth->current);
        auth->bus = bus;
}

Auth *auth_new(AuthMode mode, const AuthHandler *handler, void *userdata) {
        Auth *auth = g_new0(Auth, 1);

        auth->mode = mode;
        auth->handler = handler;
        auth->userdata = userdata;
        auth->polkit = polkit_new();
        auth->decided = g_hash_table_new(NULL, NULL);
        auth->held_sizes = g_hash_table_new(NULL, NULL);
        return auth;
}

Auth *auth_free(Auth *auth) {
        if (!auth)
                return NULL;
        auth_attach(auth, NULL);
        polkit_free(auth->polkit);
        g_hash_table_unref(auth->decided);
        g_hash_table_unref(auth->held_sizes);
        g_free(auth);
        return NULL;
}
