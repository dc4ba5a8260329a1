#include "engine/block_tables.h"

#include <string.h>

static int32_t divide_up(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a + b - 1) / b);
}

static struct block_table *table_of(const struct scheduler *s, const struct stream *stream, int32_t group)
{
    return &s->tables[stream->slot * s->kv.n_groups + group];
}

/* The first block of a group that is read by rows from `position` on. */
static int32_t first_needed(const struct kv_group *group, int32_t position)
{
    if (group->kind != EXECUTOR_GROUP_WINDOW || position < group->window)
        return 0;
    return (position - group->window + 1) / group->block_tokens;
}

static int32_t take_block(struct scheduler *s, int32_t g)
{
    if (s->kv.groups[g].n_free == 0)
        prefix_index_drop_oldest(&s->index, g);
    return kv_blocks_take(&s->kv.groups[g]);
}

static void release_left_window(struct scheduler *s, struct stream *stream)
{
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct block_table *table = table_of(s, stream, g);
        int32_t needed = first_needed(&s->kv.groups[g], stream->n_scheduled);
        for (; table->n_released < needed && table->n_released < table->n_blocks; table->n_released++) {
            int32_t *block = &table->blocks[table->n_released];
            if (*block >= 0)
                kv_blocks_release(&s->kv.groups[g], *block);
            *block = -1;
        }
    }
}

int32_t block_tables_fit(struct scheduler *s, struct stream *stream, int32_t length)
{
    release_left_window(s, stream);
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        const struct kv_group *group = &s->kv.groups[g];
        int64_t most = (int64_t)(table_of(s, stream, g)->n_blocks + kv_blocks_available(group)) * group->block_tokens;
        if (length > most)
            length = (int32_t)most;
    }
    return length;
}

bool block_tables_extend(struct scheduler *s, struct stream *stream, int32_t length)
{
    if (block_tables_fit(s, stream, length) < length)
        return false;
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct block_table *table = table_of(s, stream, g);
        while ((int64_t)table->n_blocks * s->kv.groups[g].block_tokens < length)
            table->blocks[table->n_blocks++] = take_block(s, g);
    }
    return true;
}

void block_tables_release(struct scheduler *s, struct stream *stream)
{
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct block_table *table = table_of(s, stream, g);
        /* From the end: of what stays cached, the end of a sequence is the first to go. */
        for (int32_t i = table->n_blocks - 1; i >= table->n_released; i--)
            if (table->blocks[i] >= 0)
                kv_blocks_release(&s->kv.groups[g], table->blocks[i]);
        table->n_blocks = table->n_released = 0;
    }
}

/* ---- Reuse. */

/* Positions that may come from the cache: the last token must be computed for its logits, and so must prompt positions whose rows are still wanted. */
static int32_t reusable_positions(const struct stream *stream)
{
    int32_t most = stream->log.n_tokens - 1;
    if (stream_takes_prompt_rows(stream) && stream->log.n_prompt_taken < most)
        most = stream->log.n_prompt_taken;
    return most;
}

/* Walks down the tree as far as the tokens agree; the deepest node at which every window group still has what the next row reads. Returns its chunks. */
static int32_t find_prefix(const struct scheduler *s, const struct stream *stream, int32_t limit, int32_t *node)
{
    int32_t unit = s->index.unit, best = 0, at = PREFIX_ROOT;
    int32_t run[STEP_MAX_GROUPS] = {0}; /* blocks present without a gap up to here */
    *node = PREFIX_ROOT;
    for (int32_t chunk = 0; (int64_t)(chunk + 1) * unit <= limit; chunk++) {
        at = prefix_index_find(&s->index, at, stream->log.tokens + (int64_t)chunk * unit);
        if (at < 0)
            break;
        int32_t position = (chunk + 1) * unit;
        bool complete = true;
        for (int32_t g = 0; g < s->kv.n_groups; g++) {
            const int32_t *blocks = prefix_index_blocks(&s->index, at, g);
            for (int32_t i = 0; i < s->index.group_count[g]; i++)
                run[g] = blocks[i] >= 0 ? run[g] + 1 : 0;
            complete = complete && run[g] >= position / s->kv.groups[g].block_tokens - first_needed(&s->kv.groups[g], position);
        }
        if (complete) {
            best = chunk + 1;
            *node = at;
        }
    }
    return best;
}

/* References the blocks of a path of `chunks` nodes that ends at `node`. */
static void take_prefix(struct scheduler *s, struct stream *stream, int32_t chunks, int32_t node)
{
    int32_t position = chunks * s->index.unit;
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct kv_group *group = &s->kv.groups[g];
        struct block_table *table = table_of(s, stream, g);
        int32_t per_chunk = s->index.unit ? s->index.group_count[g] : 0;
        table->n_blocks = chunks * per_chunk;
        table->n_released = first_needed(group, position);
        int32_t at = node;
        for (int32_t chunk = chunks - 1; chunk >= 0; chunk--, at = s->index.nodes[at].parent) {
            const int32_t *blocks = prefix_index_blocks(&s->index, at, g);
            for (int32_t i = 0; i < per_chunk; i++) {
                int32_t entry = chunk * per_chunk + i;
                table->blocks[entry] = entry < table->n_released ? -1 : blocks[i];
                if (table->blocks[entry] >= 0)
                    kv_blocks_reference(group, blocks[i]);
            }
        }
    }
    prefix_index_move_user(&s->index, PREFIX_ROOT, node);
    stream->node = node;
    stream->n_registered = chunks;
}

/* The blocks [*first, *count) of a child's chunk that hold its first `common` tokens and are still read by the row behind them. */
static void copied_range(const struct kv_group *group, int32_t start, int32_t common, int32_t *first, int32_t *count)
{
    *first = first_needed(group, start + common) - start / group->block_tokens;
    *first = *first > 0 ? *first : 0;
    *count = divide_up(common, group->block_tokens);
}

/* Can the first `common` tokens of a child's chunk be had by copying, its blocks and free ones being there? */
static bool may_copy_chunk(const struct scheduler *s, const struct step_plan *plan, int32_t child, int32_t start, int32_t common)
{
    if (common * 4 < s->index.unit) /* less is computed sooner than copied */
        return false;
    int32_t n_copies = 0;
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        const struct kv_group *group = &s->kv.groups[g];
        const int32_t *blocks = prefix_index_blocks(&s->index, child, g);
        int32_t first, count;
        copied_range(group, start, common, &first, &count);
        int32_t copied = 0, cached = 0;
        for (int32_t i = first; i < count; i++, copied++) {
            if (blocks[i] < 0)
                return false;
            cached += group->blocks[blocks[i]].references == 0;
        }
        if (kv_blocks_available(group) - cached < copied)
            return false;
        n_copies += copied;
    }
    return plan->step.n_edits + n_copies <= s->max_edits;
}

/* Copies the blocks of a child's chunk that hold its first `common` tokens: they are this stream's own from here on. */
static void copy_chunk(struct scheduler *s, struct step_plan *plan, struct stream *stream, int32_t child, int32_t start, int32_t common)
{
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct kv_group *group = &s->kv.groups[g];
        const int32_t *blocks = prefix_index_blocks(&s->index, child, g);
        int32_t first, count;
        copied_range(group, start, common, &first, &count);
        /* All sources are held while free blocks are looked for: dropping cached blocks must not hit them. */
        for (int32_t i = first; i < count; i++)
            kv_blocks_reference(group, blocks[i]);
    }
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct block_table *table = table_of(s, stream, g);
        const int32_t *blocks = prefix_index_blocks(&s->index, child, g);
        int32_t first, count;
        copied_range(&s->kv.groups[g], start, common, &first, &count);
        for (int32_t i = 0; i < count; i++) {
            int32_t to = i < first ? -1 : take_block(s, g);
            table->blocks[table->n_blocks++] = to;
            if (to >= 0)
                plan->edits[plan->step.n_edits++] = (struct cache_edit){CACHE_COPY, g, blocks[i], to};
        }
    }
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct kv_group *group = &s->kv.groups[g];
        const int32_t *blocks = prefix_index_blocks(&s->index, child, g);
        int32_t first, count;
        copied_range(group, start, common, &first, &count);
        for (int32_t i = first; i < count; i++)
            kv_blocks_release(group, blocks[i]);
    }
}

/* Does the whole known sequence fit beside the running streams, each of which may need one more block soon? */
static bool whole_sequence_fits(struct scheduler *s, const struct stream *stream)
{
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        const struct kv_group *group = &s->kv.groups[g];
        const struct block_table *table = table_of(s, stream, g);
        int64_t total = divide_up(stream->log.n_tokens, group->block_tokens), held = table->n_blocks;
        if (group->kind == EXECUTOR_GROUP_WINDOW) {
            int64_t most = ((int64_t)group->window + s->prefill_chunk) / group->block_tokens + 2;
            total = total - table->n_released < most ? total - table->n_released : most;
            held -= table->n_released;
        }
        if (total - held > kv_blocks_available(group) - s->n_running)
            return false;
    }
    return true;
}

int32_t block_tables_begin(struct scheduler *s, struct step_plan *plan, struct stream *stream)
{
    int32_t limit = reusable_positions(stream), n_edits = plan->step.n_edits, node = PREFIX_ROOT, chunks = 0, common = 0;
    if (s->index.unit)
        chunks = find_prefix(s, stream, limit, &node);
    take_prefix(s, stream, chunks, node);
    int32_t start = chunks * s->index.unit;
    int32_t child = prefix_index_find_partial(&s->index, node, stream->log.tokens + start, limit - start, &common);
    if (child >= 0 && may_copy_chunk(s, plan, child, start, common))
        copy_chunk(s, plan, stream, child, start, common);
    else
        common = 0;
    stream->n_scheduled = stream->n_completed = start + common;
    if ((s->n_running == 0 || whole_sequence_fits(s, stream)) && block_tables_extend(s, stream, stream->n_scheduled + 1))
        return stream->n_scheduled;
    block_tables_release(s, stream);
    prefix_index_move_user(&s->index, stream->node, PREFIX_ROOT);
    stream->node = PREFIX_ROOT;
    stream->n_scheduled = stream->n_completed = stream->n_registered = 0;
    plan->step.n_edits = n_edits;
    return -1;
}

/* The chunk's blocks are the index's from here on; where it has the same chunk already, its blocks take the place of ours. */
static void merge_blocks(struct scheduler *s, struct stream *stream, int32_t node)
{
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        struct kv_group *group = &s->kv.groups[g];
        int32_t count = s->index.group_count[g];
        int32_t *mine = table_of(s, stream, g)->blocks + (int64_t)stream->n_registered * count;
        const int32_t *theirs = prefix_index_blocks(&s->index, node, g);
        for (int32_t i = 0; i < count; i++) {
            if (mine[i] < 0 || mine[i] == theirs[i])
                continue;
            if (theirs[i] < 0) {
                prefix_index_set_block(&s->index, node, g, i, mine[i]);
                continue;
            }
            kv_blocks_reference(group, theirs[i]);
            kv_blocks_release(group, mine[i]);
            mine[i] = theirs[i];
        }
    }
}

void block_tables_register(struct scheduler *s, struct stream *stream)
{
    int32_t unit = s->index.unit;
    while (unit && (int64_t)(stream->n_registered + 1) * unit <= stream->n_completed) {
        const int32_t *tokens = stream->log.tokens + (int64_t)stream->n_registered * unit;
        int32_t child = prefix_index_find(&s->index, stream->node, tokens);
        if (child < 0)
            child = prefix_index_add(&s->index, stream->node, tokens);
        if (child < 0)
            return; /* no node is free: tried again with the next step */
        merge_blocks(s, stream, child);
        prefix_index_move_user(&s->index, stream->node, child);
        stream->node = child;
        stream->n_registered++;
    }
}

void block_tables_write(struct scheduler *s, struct step_plan *plan)
{
    for (int32_t g = 0; g < s->kv.n_groups; g++) {
        int32_t stride = 1;
        for (int32_t e = 0; e < plan->n_entries; e++) {
            int32_t n = table_of(s, plan->entries[e].stream, g)->n_blocks;
            stride = n > stride ? n : stride;
        }
        for (int32_t e = 0; e < plan->n_entries; e++) {
            const struct block_table *table = table_of(s, plan->entries[e].stream, g);
            int32_t *to = plan->tables[g] + (int64_t)e * stride;
            memcpy(to, table->blocks, (size_t)table->n_blocks * sizeof *to);
            for (int32_t i = table->n_blocks; i < stride; i++)
                to[i] = -1;
        }
        plan->step.tables[g] = (struct step_block_table){plan->tables[g], stride};
    }
}
