/* Whole files mapped for reading: for models larger than memory, whose weights stay in the file and come and go with the page cache.
 *
 * The risk, and what is done about it: a page that cannot be read (the file shrank, the disk failed) raises SIGBUS in the thread that touches it. With
 * each map a handler is installed, where it is not, that puts zeros in place of the map's rest and counts a loss, so that the thread goes on; what it
 * computes is worthless, and whoever computes from maps asks file_map_losses() afterwards and gives up with an error. A SIGBUS anywhere else goes to the
 * handler that was there before. Threads that read maps must not block SIGBUS. A file that is changed in place, keeping its length, is not noticed:
 * nothing can.
 *
 * Thread: any; a map is immutable until it is closed. */
#ifndef BASE_FILE_MAP_H
#define BASE_FILE_MAP_H

#include "base/file.h"

struct file_map {
    const unsigned char *bytes; /* [size] */
    uint64_t size;
    int slot; /* in the table that the handler reads */
};

/* The file may be closed before the map. SAMPAN_EFORMAT: an empty file; SAMPAN_ENOMEM, SAMPAN_EIO; SAMPAN_ELIMIT: more maps than LIMIT_SHARDS. */
int file_map_open(const struct file *file, struct file_map *map, struct error *err);
void file_map_close(struct file_map *map); /* a zeroed map is legal; leaves it zeroed */

/* How often, since the program started, a page of some map could not be read. */
uint64_t file_map_losses(void);

#endif
