/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Building and walking a spec. The builder gathers records in one growing buffer and remembers the first failure, so that its user
 * can add twenty things in a row and ask once; the walker checks every length, and that strings are strings. */

#include "util/spec.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define SPEC_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

struct SpecBuilder {
        uint8_t *bytes;
        size_t size;
        size_t capacity;
        int error;
};

/* At least one NUL follows the bytes of each record. */
static size_t padded_size(size_t size) {
        return ALIGN_TO(size + 1, 4);
}

/* Of a record that is a number; 0 for a string. */
static size_t number_size(uint32_t type) {
        switch (type) {
        case SPEC_COMMAND:
                return sizeof(uint32_t);
        case SPEC_MEMORY_HIGH:
                return sizeof(uint64_t);
        default:
                return 0;
        }
}

static bool builder_reserve(SpecBuilder *spec, size_t more) {
        size_t capacity = spec->capacity;
        uint8_t *bytes;

        if (more > SPEC_SIZE_MAX || spec->size + more > SPEC_SIZE_MAX) {
                spec->error = -E2BIG;
                return false;
        }
        if (spec->size + more <= capacity)
                return true;

        while (capacity < spec->size + more)
                capacity = MAX_OF(capacity * 2, (size_t) 1024);
        bytes = realloc(spec->bytes, capacity);
        if (!bytes) {
                spec->error = -ENOMEM;
                return false;
        }
        spec->bytes = bytes;
        spec->capacity = capacity;
        return true;
}

SpecBuilder *spec_new(const struct spec_header *header) {
        struct spec_header versioned = *header;
        SpecBuilder *spec;

        spec = calloc(1, sizeof(*spec));
        if (!spec)
                return NULL;

        versioned.version = SPEC_VERSION;
        if (builder_reserve(spec, sizeof(versioned))) {
                memcpy(spec->bytes, &versioned, sizeof(versioned));
                spec->size = sizeof(versioned);
        }
        return spec;
}

SpecBuilder *spec_free(SpecBuilder *spec) {
        if (spec) {
                /* Environments carry secrets. */
                if (spec->bytes)
                        explicit_bzero(spec->bytes, spec->size);
                free(spec->bytes);
                free(spec);
        }
        return NULL;
}

void spec_add(SpecBuilder *spec, enum spec_type type, const void *bytes, size_t size) {
        struct spec_record record = {.type = type, .size = (uint32_t) size};

        if (spec->error != 0)
                return;
        if (size > SPEC_SIZE_MAX) {
                spec->error = -E2BIG;
                return;
        }
        if (!builder_reserve(spec, sizeof(record) + padded_size(size)))
                return;

        memcpy(spec->bytes + spec->size, &record, sizeof(record));
        spec->size += sizeof(record);
        if (size > 0)
                memcpy(spec->bytes + spec->size, bytes, size);
        memset(spec->bytes + spec->size + size, 0, padded_size(size) - size);
        spec->size += padded_size(size);
}

void spec_add_string(SpecBuilder *spec, enum spec_type type, const char *string) {
        spec_add(spec, type, string, strlen(string));
}

int spec_to_memfd(SpecBuilder *spec) {
        _cleanup_close_ int fd = -EBADF;

        if (spec->error != 0)
                return spec->error;

        fd = memfd_create("runtime-spec", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("runtime-spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;

        for (size_t written = 0; written < spec->size;) {
                ssize_t n = write(fd, spec->bytes + written, spec->size - written);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                written += (size_t) n;
        }
        if (fcntl(fd, F_ADD_SEALS, SPEC_SEALS) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int spec_map(SpecView *ret, int fd) {
        const struct spec_header *header;
        struct stat st;
        void *map;
        int seals;

        if (fstat(fd, &st) < 0)
                return -errno;
        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SPEC_SEALS) != SPEC_SEALS)
                return -EINVAL;
        if (st.st_size < (off_t) sizeof(*header) || st.st_size > (off_t) SPEC_SIZE_MAX)
                return -EINVAL;

        map = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        header = map;
        if (header->version != SPEC_VERSION) {
                (void) munmap(map, (size_t) st.st_size);
                return -EPROTONOSUPPORT;
        }

        *ret = (SpecView){.header = header, .bytes = map, .size = (size_t) st.st_size, .offset = sizeof(*header)};
        return 0;
}

void spec_unmap(SpecView *view) {
        if (view->bytes)
                (void) munmap((void *) view->bytes, view->size);
        *view = (SpecView){};
}

void spec_rewind(SpecView *view) {
        view->offset = sizeof(struct spec_header);
}

int spec_next(SpecView *view, enum spec_type *ret_type, const void **ret_bytes, size_t *ret_size) {
        struct spec_record record;
        const uint8_t *bytes;
        size_t number;

        if (view->offset == view->size)
                return 0;
        if (view->size - view->offset < sizeof(record))
                return -EBADMSG;

        memcpy(&record, view->bytes + view->offset, sizeof(record));
        bytes = view->bytes + view->offset + sizeof(record);
        if (record.size > SPEC_SIZE_MAX || padded_size(record.size) > view->size - view->offset - sizeof(record))
                return -EBADMSG;
        if (record.type == 0 || record.type >= _SPEC_TYPE_MAX || bytes[record.size] != '\0')
                return -EBADMSG;
        number = number_size(record.type);
        if (number > 0 ? record.size != number : memchr(bytes, '\0', record.size) != NULL)
                return -EBADMSG;

        view->offset += sizeof(record) + padded_size(record.size);
        *ret_type = (enum spec_type) record.type;
        *ret_bytes = bytes;
        *ret_size = record.size;
        return 1;
}
