/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The daemon is judged here as if it had been taken over: each of its messages is of exactly one size, brings exactly so many fds, and names units of
 * runtimes alone. What such a name says is all that the spawner goes by: the slice, the folder, and for whom it is. Pure functions of libc, so that each
 * malformed thing that can be thought of is a test. */

#include "spawner/check.h"

#include <errno.h>
#include <string.h>

#include "util/macro.h"
#include "util/names.h"

#define UID_NOBODY 65534U
#define UID_INVALID_16 65535U
/* What systemd gives to services that have DynamicUser=yes; NSS knows them like those of people. */
#define UID_DYNAMIC_MIN 61184U
#define UID_DYNAMIC_MAX 65519U

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_lower(char c) {
        return c >= 'a' && c <= 'z';
}

static const struct {
        size_t size;
        size_t n_fds;
        size_t text, text_size; /* the string in it; text_size 0: none */
} request_table[] = {
        [SPAWNER_USER] = {sizeof(struct spawner_user), 0, offsetof(struct spawner_user, name), SPAWNER_TEXT_MAX},
        [SPAWNER_START] = {sizeof(struct spawner_start), SPAWNER_FDS, offsetof(struct spawner_start, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_SCOPE] = {sizeof(struct spawner_start), 0, offsetof(struct spawner_start, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_ADOPT] = {sizeof(struct spawner_unit), 0, offsetof(struct spawner_unit, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_STOP] = {sizeof(struct spawner_unit), 0, offsetof(struct spawner_unit, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_KILL] = {sizeof(struct spawner_unit), 0, offsetof(struct spawner_unit, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_LIMIT] = {sizeof(struct spawner_start), 0, offsetof(struct spawner_start, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_RELEASE] = {sizeof(struct spawner_unit), 0, offsetof(struct spawner_unit, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_REMOVE] = {sizeof(struct spawner_unit), 0, offsetof(struct spawner_unit, unit), SPAWNER_UNIT_MAX},
        [SPAWNER_JOB] = {sizeof(uint32_t), 0, 0, 0},
};

int check_request(const SpawnerRequest *request, size_t size, size_t n_fds) {
        const char *bytes = (const char *) request;
        uint32_t type;

        if (size < sizeof(type))
                return -EBADMSG;
        type = request->type;
        if (type >= ELEMENTSOF(request_table) || request_table[type].size == 0)
                return -EBADMSG;
        if (size != request_table[type].size || n_fds != request_table[type].n_fds)
                return -EBADMSG;
        if (request_table[type].text_size > 0 && !memchr(bytes + request_table[type].text, '\0', request_table[type].text_size))
                return -EBADMSG;
        return 0;
}

/* A decimal number without leading zeros. */
static int parse_number(const char **text, uint64_t max, uint64_t *ret) {
        uint64_t value = 0;
        const char *p = *text;

        if (!is_digit(*p) || (*p == '0' && is_digit(p[1])))
                return -EINVAL;
        for (; is_digit(*p); p++) {
                value = value * 10 + (uint64_t) (*p - '0');
                if (value > max)
                        return -EINVAL;
        }
        *text = p;
        *ret = value;
        return 0;
}

/* u<uid>_<id>, up to the dot. */
static int parse_name(const char **text, UnitName *name) {
        const char *start = *text, *p = start, *id;
        uint64_t uid;

        if (*p++ != 'u' || parse_number(&p, UINT32_MAX - 1, &uid) < 0 || *p++ != '_')
                return -EINVAL;
        id = p;
        while (is_lower(*p) || is_digit(*p) || *p == '_')
                p++;
        if (p == id || (size_t) (p - id) > CHECK_ID_MAX || (size_t) (p - start) >= sizeof(name->name))
                return -EINVAL;
        name->uid = (uid_t) uid;
        memcpy(name->name, start, (size_t) (p - start));
        *text = p;
        return 0;
}

/* Kinds have dashes in their names, runtimes have none. */
static int parse_kind(const char **text, UnitName *name) {
        const char *start = *text, *end = strrchr(start, '-');

        if (!end || end == start || (size_t) (end - start) > CHECK_KIND_MAX || !is_lower(*start))
                return -EINVAL;
        for (const char *p = start; p < end; p++)
                if (!is_lower(*p) && !is_digit(*p) && *p != '-')
                        return -EINVAL;
        memcpy(name->kind, start, (size_t) (end - start));
        *text = end + 1;
        return 0;
}

int check_unit(const char *unit, UnitName *ret) {
        UnitName name = {};
        const char *p = unit;
        uint64_t attempt;

        if (strncmp(p, RM_UNIT_PREFIX, strlen(RM_UNIT_PREFIX)) != 0)
                return -EINVAL;
        p += strlen(RM_UNIT_PREFIX);
        if (parse_kind(&p, &name) < 0 || parse_name(&p, &name) < 0)
                return -EINVAL;
        if (p[0] == '.' && is_digit(p[1])) {
                p++;
                if (parse_number(&p, CHECK_ATTEMPT_MAX, &attempt) < 0 || attempt == 0)
                        return -EINVAL;
                name.attempt = (unsigned) attempt;
        }
        if (strcmp(p, ".scope") != 0)
                return -EINVAL;
        *ret = name;
        return 0;
}

bool check_same_runtime(const UnitName *a, const UnitName *b) {
        return a->uid == b->uid && strcmp(a->kind, b->kind) == 0 && strcmp(a->name, b->name) == 0;
}

int check_uid(const Rights *rights, uid_t uid) {
        if (uid == 0)
                return rights->allow_root ? 0 : -EPERM;
        if (uid >= UID_DYNAMIC_MIN && uid <= UID_DYNAMIC_MAX)
                return -EPERM;
        if (uid < rights->minimum_uid || uid == UID_NOBODY || uid == UID_INVALID_16 || uid == (uid_t) -1 || uid == rights->daemon_uid)
                return -EPERM;
        return 0;
}

int check_user_name(const char *name) {
        size_t length = strlen(name);

        if (length == 0 || length >= SPAWNER_TEXT_MAX || name[0] == '-')
                return -EINVAL;
        for (const unsigned char *p = (const unsigned char *) name; *p; p++)
                if (*p <= ' ' || *p == 0x7f || *p == ':' || *p == '/' || *p == ',')
                        return -EINVAL;
        return 0;
}

int check_limits(const struct spawner_start *start, LimitSet *ret_limits) {
        LimitSet limits = limit_set_none();

        _Static_assert(_LIMIT_KEY_MAX == SPAWNER_LIMITS_MAX, "one number a limit");
        if (start->keys >> _LIMIT_KEY_MAX)
                return -EINVAL;
        for (size_t i = 0; i < _LIMIT_KEY_MAX; i++) {
                uint64_t value = start->limits[i];

                if (!(start->keys & (1U << i)))
                        continue;
                if (value != UINT64_MAX && (value < limit_key_table[i].min || value > limit_key_table[i].max))
                        return -ERANGE;
                limits.value[i] = value;
        }
        *ret_limits = limits;
        return 0;
}

int check_start(const struct spawner_start *start, UnitName *ret_name, LimitSet *ret_limits) {
        int r;

        r = check_unit(start->unit, ret_name);
        if (r < 0)
                return r;
        if (ret_name->uid != start->uid)
                return -EINVAL;
        if (start->type == SPAWNER_SCOPE ? start->pid <= 1 || start->pid > INT32_MAX : start->pid != 0)
                return -EINVAL;
        if (start->timeout_stop_usec == 0 || start->timeout_stop_usec > CHECK_TIMEOUT_STOP_MAX_USEC)
                return -ERANGE;
        return check_limits(start, ret_limits);
}

char *check_cgroup_of_unit(const char *root, const UnitName *name, const char *unit) {
        char *path;

        if (asprintf(&path, "%s/runtimes.slice/runtimes-u%u.slice/%s", root, (unsigned) name->uid, unit) < 0)
                return NULL;
        return path;
}
