/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* See hints.h. */

#include "cli/hints.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "util/names.h"

typedef struct Hint {
        const char *name;
        const char *words; /* of the message, which tell what one name stands for apart; NULL: it stands for one thing */
        const char *line;  /* NULL: nothing can be done */
} Hint;

/* The first that fits. */

static const Hint hints[] = {
        {RM_ERROR_NO_SUCH_KIND, NULL, N_("'runtimectl kinds' lists them; if you have just written its file: 'runtimectl reload'.")},
        {RM_ERROR_RUNTIME_EXISTS, NULL,
         N_("Choose another by --id=ID; once it has ended, 'runtimectl restart ID' starts it again, and 'runtimectl forget ID' removes it.")},
        {RM_ERROR_NOT_SUPPORTED, "use Kill or Stop", N_("'runtimectl stop ID' ends it, 'runtimectl kill --signal=INT ID' sends it the signal of Ctrl-C.")},
        {RM_ERROR_INVALID_OPTION, "needs the option Command", N_("Write them behind '--': 'runtimectl start KIND -- PROGRAM ARGUMENT...'.")},
        {RM_ERROR_INVALID_OPTION, "takes no option Command", N_("Write them behind '--': 'runtimectl start KIND -- ARGUMENT...'.")},
        {RM_ERROR_INVALID_OPTION, "User=root", N_("That is --uid=USER.")},
        {RM_ERROR_BAD_STATE, "stop it first", N_("That is 'runtimectl stop ID'.")},
        {RM_ERROR_BAD_STATE, "in the state ended", N_("'runtimectl restart ID' starts it again.")},
        {RM_ERROR_BAD_STATE, "in the state stopping", NULL},
        {RM_ERROR_BAD_STATE, "only one that is ready", N_("'runtimectl wait --until=ready ID' waits until it is.")},
};

void hints_print(const char *name, const char *message) {
        for (size_t i = 0; name && i < ELEMENTSOF(hints); i++)
                if (strcmp(hints[i].name, name) == 0 && (!hints[i].words || (message && strstr(message, hints[i].words)))) {
                        if (hints[i].line)
                                fprintf(stderr, "%s\n", _(hints[i].line));
                        return;
                }
}
