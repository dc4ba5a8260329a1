/* A made-up file system root below /tmp, for what reads /proc and /sys. */
#ifndef TESTS_SUPPORT_MADE_ROOT_H
#define TESTS_SUPPORT_MADE_ROOT_H

extern char made_root[64]; /* its path */

int made_root_set_up(void **state);
int made_root_tear_down(void **state);

/* Writes a file below it, with the folders it lies in and a newline behind the text. */
void made_root_put(const char *path, const char *text);

#endif
