#include "base/support_made_root.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

char made_root[64];

int made_root_set_up(void **state)
{
    (void)state;
    snprintf(made_root, sizeof made_root, "/tmp/sampan_root_XXXXXX");
    return mkdtemp(made_root) ? 0 : 1;
}

int made_root_tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", made_root);
    return system(command);
}

void made_root_put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", made_root, path);
    for (char *slash = strchr(whole + strlen(made_root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", text);
    fclose(file);
}
