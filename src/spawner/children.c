/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One SIGCHLD for all, and no pidfd a child: there are thousands of keepers, and the limit of fds that we were started with is theirs too, so it isn't raised.
 * Who has ended is asked for without reaping: a child whose PID somebody still relies on stays a zombie until that is over, which takes milliseconds, and
 * those behind it wait. */

#include "spawner/children.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <sys/wait.h>

typedef struct Child {
        bool held;
        ChildFunc func;
        void *userdata;
} Child;

struct Children {
        GHashTable *by_pid;
        sd_event_source *signal_source, *again_source;
};

static void children_reap(Children *children) {
        for (;;) {
                siginfo_t info = {};
                Child *child;

                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
                        return;
                child = g_hash_table_lookup(children->by_pid, GINT_TO_POINTER(info.si_pid));
                if (child && child->held)
                        return;
                (void) waitid(P_PID, (id_t) info.si_pid, &info, WEXITED | WNOHANG);
                if (!child)
                        continue;
                g_hash_table_steal(children->by_pid, GINT_TO_POINTER(info.si_pid));
                if (child->func)
                        child->func(child->userdata, info.si_pid);
                g_free(child);
        }
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        children_reap(userdata);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        children_reap(userdata);
        return 0;
}

int children_new(sd_event *event, Children **ret) {
        Children *children = g_new0(Children, 1);
        int r;

        children->by_pid = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        r = sd_event_add_signal(event, &children->signal_source, SIGCHLD, on_signal, children);
        if (r >= 0)
                r = sd_event_add_defer(event, &children->again_source, on_again, children);
        if (r < 0) {
                children_free(children);
                return r;
        }
        *ret = children;
        return 0;
}

Children *children_free(Children *children) {
        if (!children)
                return NULL;
        sd_event_source_disable_unref(children->signal_source);
        sd_event_source_disable_unref(children->again_source);
        g_hash_table_unref(children->by_pid);
        g_free(children);
        return NULL;
}

void children_add(Children *children, pid_t pid, bool held, ChildFunc func, void *userdata) {
        Child *child = g_new(Child, 1);

        *child = (Child){held, func, userdata};
        g_hash_table_insert(children->by_pid, GINT_TO_POINTER(pid), child);
}

void children_release(Children *children, pid_t pid) {
        Child *child = g_hash_table_lookup(children->by_pid, GINT_TO_POINTER(pid));

        if (!child || !child->held)
                return;
        child->held = false;
        /* Not here: the caller is in the middle of something. */
        (void) sd_event_source_set_enabled(children->again_source, SD_EVENT_ONESHOT);
}

void children_forget(Children *children, pid_t pid) {
        Child *child = g_hash_table_lookup(children->by_pid, GINT_TO_POINTER(pid));

        if (!child)
                return;
        child->func = NULL;
        children_release(children, pid);
}
