/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The order of messages is what matters here: all go out on one connection, so they arrive as they were sent. Whatever is called or told is also a test
 * message, so that a test that fails shows it. */

#include "fake-systemd.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "core/cgroup.h"
#include "util/macro.h"

#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define UNIT "org.freedesktop.systemd1.Unit"
#define SCOPE "org.freedesktop.systemd1.Scope"

static const char interface_xml[] =
        "<node>"
        "<interface name='" MANAGER "'>"
        "<method name='Subscribe'/>"
        "<method name='StartTransientUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/>"
        "<arg type='a(sv)' direction='in'/><arg type='a(sa(sv))' direction='in'/><arg type='o' direction='out'/></method>"
        "<method name='StopUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/>"
        "<arg type='o' direction='out'/></method>"
        "<method name='KillUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='i' direction='in'/></method>"
        "<method name='SetUnitProperties'><arg type='s' direction='in'/><arg type='b' direction='in'/>"
        "<arg type='a(sv)' direction='in'/></method>"
        "</interface>"
        "<interface name='" SCOPE "'><property name='Result' type='s' access='read'/></interface>"
        "<interface name='" UNIT "'><property name='ActiveState' type='s' access='read'/></interface>"
        "</node>";

typedef struct Unit {
        FakeSystemd *fake;
        char *name, *path, *job, *state;
        FakeStart start;
        pid_t pid;
        char *cgroup; /* directory */
        int events_fd;
        guint events_source;
        char *stop_job; /* of a StopUnit that waits for the cgroup to be empty */
} Unit;

struct FakeSystemd {
        GDBusConnection *bus;
        GDBusNodeInfo *interfaces;
        guint manager_object, unit_objects;
        char *cgroups;
        GPtrArray *made; /* all cgroups that were made: some are left by units whose processes outlive them */
        GQueue starts;   /* FakeStart */
        GPtrArray *calls;
        GVariant *properties;
        GHashTable *units;   /* name → Unit */
        GHashTable *results; /* name → Result that was set */
        unsigned n_jobs;
        gboolean hangs, is_silent;
        GQueue backlog; /* GDBusMethodInvocation, while it hangs */
        gboolean no_oom_policy, refuse_properties;
};

static void record(FakeSystemd *fake, char *line) {
        g_test_message("systemd: %s", line);
        g_ptr_array_add(fake->calls, line);
}

static void emit(FakeSystemd *fake, const char *path, const char *interface, const char *member, GVariant *parameters) {
        g_autoptr(GVariant) owned = g_variant_ref_sink(parameters);

        if (!fake->is_silent)
                g_assert_true(g_dbus_connection_emit_signal(fake->bus, NULL, path, interface, member, owned, NULL));
}

static void emit_job_removed(FakeSystemd *fake, const char *job, const char *unit, const char *result) {
        g_test_message("systemd: JobRemoved %s %s", unit, result);
        emit(fake, PATH, MANAGER, "JobRemoved", g_variant_new("(uoss)", fake->n_jobs, job, unit, result));
}

static void emit_changed(Unit *unit, const char *interface, const char *property, const char *value) {
        GVariantBuilder changed;

        g_variant_builder_init(&changed, G_VARIANT_TYPE("a{sv}"));
        g_variant_builder_add(&changed, "{sv}", "Other", g_variant_new_uint64(1));
        if (value[0] != '\0')
                g_variant_builder_add(&changed, "{sv}", property, g_variant_new_string(value));
        emit(unit->fake, unit->path, "org.freedesktop.DBus.Properties", "PropertiesChanged", g_variant_new("(sa{sv}as)", interface, &changed, NULL));
}

static gboolean unit_has_ended(const Unit *unit) {
        return strcmp(unit->state, "inactive") == 0 || strcmp(unit->state, "failed") == 0;
}

/* "": it can't be told. */
static const char *unit_result(const Unit *unit) {
        const char *result = g_hash_table_lookup(unit->fake->results, unit->name);

        return result && (result[0] == '\0' || unit_has_ended(unit)) ? result : "success";
}

/* In this order: systemd promises it. */
static void unit_tell(Unit *unit, const char *state) {
        g_test_message("systemd: %s is %s", unit->name, state);
        g_free(unit->state);
        unit->state = g_strdup(state);
        emit_changed(unit, SCOPE, "Result", unit_result(unit));
        emit_changed(unit, UNIT, "ActiveState", state);
}

static void remove_cgroup(const char *directory) {
        static const char *const children[] = {"payload", "keeper", ""};

        for (size_t i = 0; i < ELEMENTSOF(children); i++) {
                g_autofree char *path = g_build_filename(directory, children[i], NULL);

                (void) rmdir(path);
        }
}

static void unit_leave_cgroup(Unit *unit) {
        if (unit->events_source != 0)
                g_source_remove(unit->events_source);
        unit->events_source = 0;
        unit->events_fd = fd_close(unit->events_fd);
        if (unit->cgroup)
                remove_cgroup(unit->cgroup);
        g_clear_pointer(&unit->cgroup, g_free);
}

static void unit_free(gpointer data) {
        Unit *unit = data;

        unit_leave_cgroup(unit);
        g_free(unit->name);
        free(unit->path);
        g_free(unit->job);
        g_free(unit->state);
        g_free(unit->stop_job);
        g_free(unit);
}

static void unit_end(Unit *unit, const char *state) {
        unit_leave_cgroup(unit);
        unit_tell(unit, state);
        if (unit->stop_job)
                emit_job_removed(unit->fake, unit->stop_job, unit->name, "done");
        g_clear_pointer(&unit->stop_job, g_free);
        g_hash_table_remove(unit->fake->units, unit->name);
}

static gboolean cgroup_is_populated(int events_fd) {
        char text[128];
        ssize_t size = pread(events_fd, text, sizeof(text) - 1, 0);

        g_assert_cmpint(size, >, 0);
        text[size] = '\0';
        return strstr(text, "populated 1") != NULL;
}

static gboolean on_cgroup_event(gint fd, GIOCondition condition, gpointer userdata) {
        Unit *unit = userdata;

        gboolean has_ended = unit_has_ended(unit);

        if (cgroup_is_populated(fd) || (!has_ended && (unit->start == FAKE_START_STAYS || unit->start == FAKE_START_KILLED)))
                return G_SOURCE_CONTINUE;
        unit->events_source = 0;
        /* One that was called dead was kept for its processes. */
        if (has_ended)
                g_hash_table_remove(unit->fake->units, unit->name);
        else
                unit_end(unit, "inactive");
        return G_SOURCE_REMOVE;
}

static void write_file(const char *directory, const char *name, const char *text) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        /* A process may have ended meanwhile. */
        if (write(fd, text, strlen(text)) < 0)
                g_test_message("systemd: %s: %s", path, g_strerror(errno));
}

static void unit_make_cgroup(Unit *unit) {
        g_autofree char *pid = g_strdup_printf("%d", (int) unit->pid), *events = NULL;

        if (!unit->fake->cgroups)
                return;
        unit->cgroup = g_build_filename(unit->fake->cgroups, unit->name, NULL);
        /* One of this name that was called dead may still be populated. */
        if (mkdir(unit->cgroup, 0755) == 0)
                g_ptr_array_add(unit->fake->made, g_strdup(unit->cgroup));
        else
                g_assert_cmpint(errno, ==, EEXIST);
        if (unit->start != FAKE_START_ELSEWHERE)
                write_file(unit->cgroup, "cgroup.procs", pid);
        events = g_build_filename(unit->cgroup, "cgroup.events", NULL);
        unit->events_fd = open(events, O_RDONLY | O_CLOEXEC);
        g_assert_cmpint(unit->events_fd, >=, 0);
        /* What has been read is no news. */
        (void) cgroup_is_populated(unit->events_fd);
        unit->events_source = g_unix_fd_add(unit->events_fd, G_IO_PRI | G_IO_ERR, on_cgroup_event, unit);
}

static Unit *unit_new(FakeSystemd *fake, const char *name, FakeStart start) {
        Unit *unit = g_new0(Unit, 1);

        unit->fake = fake;
        unit->name = g_strdup(name);
        unit->start = start;
        unit->events_fd = -EBADF;
        unit->state = g_strdup("activating");
        unit->job = g_strdup_printf(PATH "/job/%u", ++fake->n_jobs);
        g_assert_cmpint(sd_bus_path_encode(PATH "/unit", name, &unit->path), >=, 0);
        g_hash_table_insert(fake->units, unit->name, unit);
        return unit;
}

/* An answer with the job, unless it has been given. */
static void unit_answer(Unit *unit, GDBusMethodInvocation *call) {
        g_dbus_method_invocation_return_value(call, g_variant_new("(o)", unit->job));
}

static void unit_run(Unit *unit, GDBusMethodInvocation *call) {
        FakeSystemd *fake = unit->fake;

        unit_make_cgroup(unit);
        if (unit->start == FAKE_START_JOB_FIRST) {
                unit_tell(unit, "active");
                emit_job_removed(fake, unit->job, unit->name, "done");
                unit_answer(unit, call);
                return;
        }
        unit_answer(unit, call);
        if (unit->start == FAKE_START_JOB_UNENDING)
                return;
        if (unit->start == FAKE_START_NEW_INACTIVE)
                unit_tell(unit, "inactive");
        if (unit->start == FAKE_START_KILLED) {
                g_assert_cmpint(unit->pid, >, 1);
                (void) kill(unit->pid, SIGKILL);
        }
        unit_tell(unit, "active");
        if (unit->start == FAKE_START_DEAD) {
                unit_tell(unit, "inactive");
        }
        emit_job_removed(fake, unit->job, unit->name, "done");
        if (unit_has_ended(unit) && !unit->cgroup)
                g_hash_table_remove(fake->units, unit->name);
}

static void start_unit(FakeSystemd *fake, GVariant *parameters, GDBusMethodInvocation *call) {
        FakeStart start = g_queue_is_empty(&fake->starts) ? FAKE_START : GPOINTER_TO_INT(g_queue_peek_head(&fake->starts));
        g_autoptr(GVariant) properties = NULL, dictionary = NULL, pids = NULL;
        const char *name, *mode;
        Unit *unit, *old;
        guint32 pid;

        g_variant_get(parameters, "(&s&s@a(sv)a(sa(sv)))", &name, &mode, &properties, NULL);
        record(fake, g_strdup_printf("StartTransientUnit %s %s", name, mode));
        g_clear_pointer(&fake->properties, g_variant_unref);
        fake->properties = g_variant_ref(properties);
        dictionary = fake_systemd_get_properties(fake);
        if (fake->no_oom_policy && g_variant_lookup(dictionary, "OOMPolicy", "s", NULL)) {
                g_dbus_method_invocation_return_dbus_error(call, "org.freedesktop.DBus.Error.PropertyReadOnly",
                                                           "Cannot set property OOMPolicy, or unknown property.");
                return;
        }
        g_queue_pop_head(&fake->starts);
        if (start == FAKE_START_UNANSWERED) {
                fake->hangs = TRUE;
                g_queue_push_tail(&fake->backlog, call);
                return;
        }
        old = g_hash_table_lookup(fake->units, name);
        if (start == FAKE_START_REFUSED || (old && !unit_has_ended(old))) {
                g_dbus_method_invocation_return_dbus_error(call, "org.freedesktop.systemd1.UnitExists", "Told to refuse it.");
                return;
        }
        g_hash_table_remove(fake->units, name);

        unit = unit_new(fake, name, start);
        pids = g_variant_lookup_value(dictionary, "PIDs", G_VARIANT_TYPE("au"));
        g_assert_nonnull(pids);
        g_assert_cmpuint(g_variant_n_children(pids), ==, 1);
        g_variant_get_child(pids, 0, "u", &pid);
        unit->pid = pid;
        if (start == FAKE_START_JOB_FAILED || start == FAKE_START_JOB_CANCELED) {
                unit_answer(unit, call);
                emit_job_removed(fake, unit->job, unit->name, start == FAKE_START_JOB_FAILED ? "failed" : "canceled");
                g_hash_table_remove(fake->units, unit->name);
        } else
                unit_run(unit, call);
}

static void stop_unit(FakeSystemd *fake, Unit *unit, GDBusMethodInvocation *call) {
        g_autofree char *job = NULL;

        if (!unit || unit_has_ended(unit)) {
                g_dbus_method_invocation_return_dbus_error(call, "org.freedesktop.systemd1.NoSuchUnit", "There is no such unit.");
                return;
        }
        job = g_strdup_printf(PATH "/job/%u", ++fake->n_jobs);
        g_dbus_method_invocation_return_value(call, g_variant_new("(o)", job));
        g_free(unit->stop_job);
        unit->stop_job = g_steal_pointer(&job);
        unit_tell(unit, "deactivating");
        if (unit->events_fd >= 0 && cgroup_is_populated(unit->events_fd)) {
                unit->start = FAKE_START;
                write_file(unit->cgroup, "cgroup.kill", "1");
        } else
                unit_end(unit, "inactive");
}

static void get_property(FakeSystemd *fake, const char *path, GVariant *parameters, GDBusMethodInvocation *call) {
        const char *property, *value;
        GHashTableIter iter;
        Unit *unit = NULL;

        g_variant_get(parameters, "(&s&s)", NULL, &property);
        record(fake, g_strdup_printf("Get %s %s", property, path));
        g_hash_table_iter_init(&iter, fake->units);
        while (g_hash_table_iter_next(&iter, NULL, (gpointer *) &unit))
                if (strcmp(unit->path, path) == 0)
                        break;
                else
                        unit = NULL;
        /* systemd makes one that isn't there up. */
        if (strcmp(property, "ActiveState") == 0)
                value = unit ? unit->state : "inactive";
        else
                value = unit ? unit_result(unit) : "success";
        if (value[0] == '\0')
                g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_PROPERTY, "There is no such property.");
        else
                g_dbus_method_invocation_return_value(call, g_variant_new("(v)", g_variant_new_string(value)));
}

static void on_call(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *method, GVariant *parameters,
                    GDBusMethodInvocation *call, gpointer userdata) {
        FakeSystemd *fake = userdata;
        const char *name = NULL;
        Unit *unit = NULL;

        if (fake->hangs) {
                g_queue_push_tail(&fake->backlog, call);
                return;
        }
        if (strcmp(method, "Get") == 0) {
                get_property(fake, path, parameters, call);
                return;
        }
        if (strcmp(method, "StartTransientUnit") == 0) {
                start_unit(fake, parameters, call);
                return;
        }
        if (g_variant_n_children(parameters) > 0) {
                g_variant_get_child(parameters, 0, "&s", &name);
                unit = g_hash_table_lookup(fake->units, name);
        }
        if (strcmp(method, "StopUnit") == 0) {
                const char *mode;

                g_variant_get_child(parameters, 1, "&s", &mode);
                record(fake, g_strdup_printf("StopUnit %s %s", name, mode));
                stop_unit(fake, unit, call);
                return;
        }
        if (strcmp(method, "SetUnitProperties") == 0) {
                record(fake, g_strdup_printf("SetUnitProperties %s", name));
                g_clear_pointer(&fake->properties, g_variant_unref);
                fake->properties = g_variant_get_child_value(parameters, 2);
                if (fake->refuse_properties) {
                        g_dbus_method_invocation_return_dbus_error(call, "org.freedesktop.DBus.Error.InvalidArgs", "Told to refuse them.");
                        return;
                }
        } else if (strcmp(method, "KillUnit") == 0) {
                const char *who;
                gint32 signo;

                g_variant_get(parameters, "(&s&si)", NULL, &who, &signo);
                record(fake, g_strdup_printf("KillUnit %s %s %d", name, who, signo));
                if (unit && unit->cgroup && signo == SIGKILL)
                        write_file(unit->cgroup, "cgroup.kill", "1");
        } else
                record(fake, name ? g_strdup_printf("%s %s", method, name) : g_strdup(method));
        /* The last: with it go all the strings. */
        g_dbus_method_invocation_return_value(call, NULL);
}

/* Reads of properties come as calls, where there is no function for them. */
static const GDBusInterfaceVTable vtable = {.method_call = on_call};

/* All there may be, as systemd has it: one that isn't there is asked, too, and says so. */
static char **on_enumerate(GDBusConnection *bus, const char *sender, const char *path, gpointer userdata) {
        return g_new0(char *, 1);
}

static GDBusInterfaceInfo **on_introspect(GDBusConnection *bus, const char *sender, const char *path, const char *node, gpointer userdata) {
        FakeSystemd *fake = userdata;
        GDBusInterfaceInfo **interfaces = g_new0(GDBusInterfaceInfo *, 3);

        interfaces[0] = g_dbus_interface_info_ref(g_dbus_node_info_lookup_interface(fake->interfaces, SCOPE));
        interfaces[1] = g_dbus_interface_info_ref(g_dbus_node_info_lookup_interface(fake->interfaces, UNIT));
        return interfaces;
}

static const GDBusInterfaceVTable *on_dispatch(GDBusConnection *bus, const char *sender, const char *path, const char *interface, const char *node,
                                               gpointer *ret_userdata, gpointer userdata) {
        *ret_userdata = userdata;
        return &vtable;
}

FakeSystemd *fake_systemd_new(const char *bus_address, const char *cgroups) {
        static const GDBusSubtreeVTable unit_vtable = {on_enumerate, on_introspect, on_dispatch};
        FakeSystemd *fake = g_new0(FakeSystemd, 1);
        g_autoptr(GVariant) reply = NULL;
        g_autoptr(GError) error = NULL;
        guint32 result;

        fake->bus = g_dbus_connection_new_for_address_sync(
                bus_address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);
        g_assert_no_error(error);
        fake->cgroups = g_strdup(cgroups);
        fake->made = g_ptr_array_new_with_free_func(g_free);
        fake->calls = g_ptr_array_new_with_free_func(g_free);
        fake->units = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, unit_free);
        fake->results = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_queue_init(&fake->starts);
        g_queue_init(&fake->backlog);
        fake->interfaces = g_dbus_node_info_new_for_xml(interface_xml, &error);
        g_assert_no_error(error);
        fake->manager_object =
                g_dbus_connection_register_object(fake->bus, PATH, g_dbus_node_info_lookup_interface(fake->interfaces, MANAGER), &vtable, fake, NULL, &error);
        g_assert_no_error(error);
        fake->unit_objects = g_dbus_connection_register_subtree(fake->bus, PATH "/unit", &unit_vtable, G_DBUS_SUBTREE_FLAGS_DISPATCH_TO_UNENUMERATED_NODES,
                                                                fake, NULL, &error);
        g_assert_no_error(error);
        reply = g_dbus_connection_call_sync(fake->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
                                            g_variant_new("(su)", "org.freedesktop.systemd1", 4), G_VARIANT_TYPE("(u)"), 0, -1, NULL, &error);
        g_assert_no_error(error);
        g_variant_get(reply, "(u)", &result);
        g_assert_cmpuint(result, ==, 1);
        return fake;
}

void fake_systemd_free(FakeSystemd *fake) {
        g_dbus_connection_unregister_object(fake->bus, fake->manager_object);
        g_dbus_connection_unregister_subtree(fake->bus, fake->unit_objects);
        /* GDBus brings what has come already, and whose answer nobody has waited for. */
        while (g_main_context_iteration(NULL, FALSE))
                continue;
        g_hash_table_unref(fake->units);
        (void) g_dbus_connection_close_sync(fake->bus, NULL, NULL);
        g_object_unref(fake->bus);
        g_dbus_node_info_unref(fake->interfaces);
        g_hash_table_unref(fake->results);
        g_queue_clear(&fake->starts);
        g_queue_clear_full(&fake->backlog, g_object_unref);
        for (unsigned i = 0; i < fake->made->len; i++)
                remove_cgroup(fake->made->pdata[i]);
        g_ptr_array_unref(fake->made);
        g_ptr_array_unref(fake->calls);
        g_clear_pointer(&fake->properties, g_variant_unref);
        g_free(fake->cgroups);
        g_free(fake);
}

char *fake_systemd_find_cgroups(void) {
        g_autofree char *own = NULL, *directory = NULL, *probe = NULL;
        const char *mount = cgroup_mount();

        if (!mount || cgroup_of_pid(getpid(), &own) < 0)
                return NULL;
        directory = g_build_filename(mount, own, NULL);
        probe = g_strdup_printf("%s/probe-%d", directory, (int) getpid());
        if (mkdir(probe, 0755) < 0)
                return NULL;
        (void) rmdir(probe);
        return g_steal_pointer(&directory);
}

void fake_systemd_expect(FakeSystemd *fake, FakeStart start) {
        g_queue_push_tail(&fake->starts, GINT_TO_POINTER(start));
}

void fake_systemd_set_no_oom_policy(FakeSystemd *fake) {
        fake->no_oom_policy = TRUE;
}

void fake_systemd_set_result(FakeSystemd *fake, const char *unit, const char *result) {
        g_hash_table_insert(fake->results, g_strdup(unit), g_strdup(result));
}

void fake_systemd_set_refuse_properties(FakeSystemd *fake) {
        fake->refuse_properties = TRUE;
}

unsigned fake_systemd_count_calls(FakeSystemd *fake, const char *line) {
        unsigned n = 0;

        for (unsigned i = 0; i < fake->calls->len; i++)
                if (g_str_has_prefix(fake->calls->pdata[i], line))
                        n++;
        return n;
}

GVariant *fake_systemd_get_properties(FakeSystemd *fake) {
        GVariantBuilder dictionary;
        GVariantIter iter;
        const char *name;
        GVariant *value;

        g_assert_nonnull(fake->properties);
        g_variant_builder_init(&dictionary, G_VARIANT_TYPE("a{sv}"));
        g_variant_iter_init(&iter, fake->properties);
        while (g_variant_iter_loop(&iter, "(&sv)", &name, &value))
                g_variant_builder_add(&dictionary, "{sv}", name, value);
        return g_variant_ref_sink(g_variant_builder_end(&dictionary));
}

gboolean fake_systemd_has_unit(FakeSystemd *fake, const char *unit) {
        return g_hash_table_contains(fake->units, unit);
}

static Unit *find_unit(FakeSystemd *fake, const char *name) {
        Unit *unit = g_hash_table_lookup(fake->units, name);

        g_assert_nonnull(unit);
        return unit;
}

void fake_systemd_tell_state(FakeSystemd *fake, const char *unit, const char *state) {
        unit_tell(find_unit(fake, unit), state);
}

void fake_systemd_end_unit(FakeSystemd *fake, const char *unit, const char *state, const char *result) {
        fake_systemd_set_result(fake, unit, result);
        unit_end(find_unit(fake, unit), state);
}

void fake_systemd_hang(FakeSystemd *fake) {
        fake->hangs = TRUE;
}

void fake_systemd_fall_silent(FakeSystemd *fake) {
        fake->hangs = fake->is_silent = TRUE;
}

unsigned fake_systemd_count_held(FakeSystemd *fake) {
        return g_queue_get_length(&fake->backlog);
}

void fake_systemd_go_on(FakeSystemd *fake) {
        GDBusMethodInvocation *call;

        fake->hangs = FALSE;
        while ((call = g_queue_pop_head(&fake->backlog)))
                on_call(fake->bus, g_dbus_method_invocation_get_sender(call), g_dbus_method_invocation_get_object_path(call),
                        g_dbus_method_invocation_get_interface_name(call), g_dbus_method_invocation_get_method_name(call),
                        g_dbus_method_invocation_get_parameters(call), call, fake);
}

void fake_systemd_end_job(FakeSystemd *fake, const char *name) {
        Unit *unit = find_unit(fake, name);

        unit_tell(unit, "active");
        emit_job_removed(fake, unit->job, unit->name, "done");
}
