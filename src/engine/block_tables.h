/* Block tables of running streams: which blocks hold a stream's positions, in each cache group. Between the scheduler, which decides on rows, and the books
 * (kv_blocks, prefix_index), which know who holds what.
 *
 *   positions   0 ......................................... n_scheduled ...
 *   all         [ b0 | b1 | b2 | b3 | b4 | b5 ]                              shared blocks of the prefix first, then own ones
 *   window      [ -1 | -1 | -1 | b3 | b4 | b5 ]                              blocks that left the window are given back as rows move on
 *                ^n_released = 3
 */
#ifndef ENGINE_BLOCK_TABLES_H
#define ENGINE_BLOCK_TABLES_H

#include "engine/scheduler.h"

/* Makes room for positions [0, length), giving back what left the windows first; all groups or none. False: blocks are missing. */
bool block_tables_extend(struct scheduler *scheduler, struct stream *stream, int32_t length);
/* The largest length up to `length` that block_tables_extend could do now. */
int32_t block_tables_fit(struct scheduler *scheduler, struct stream *stream, int32_t length);

/* Begins a stream that is to be admitted: takes over cached blocks of its beginning, and makes room for its first row. Returns how many positions are
 * cached; -1 when
 * its whole sequence would not fit beside the running streams (nothing is changed then). Adds the copies of a partly used block to the plan's edits. */
int32_t block_tables_begin(struct scheduler *scheduler, struct step_plan *plan, struct stream *stream);

void block_tables_release(struct scheduler *scheduler, struct stream *stream);  /* everything */
void block_tables_register(struct scheduler *scheduler, struct stream *stream); /* completed chunks go into the prefix index */
void block_tables_write(struct scheduler *scheduler, struct step_plan *plan);   /* into the arrays of the step */

#endif
