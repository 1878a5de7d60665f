/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "paced.h"

void go(Harness *h, const char *name) {
        g_autofree char *file = g_build_filename("home", name, NULL);

        g_free(harness_add_file(h, file, "", 0600));
}

guint64 get_last(Client *client, const char *path) {
        g_autoptr(GVariant) reply = client_call(client, path, "ReadOutput", g_variant_new("(tu)", G_MAXUINT64, 1));
        guint64 last;

        g_variant_get_child(reply, 1, "t", &last);
        return last;
}

typedef struct Printed {
        Client *client;
        const char *path;
        guint64 last;
} Printed;

static gboolean has_printed(gpointer userdata) {
        Printed *printed = userdata;

        return get_last(printed->client, printed->path) >= printed->last;
}

void wait_printed(Harness *h, const char *path, guint64 last) {
        Printed printed = {h->client, path, last};

        harness_wait(h, has_printed, &printed, "the runtime has printed so many lines");
}
