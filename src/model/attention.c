/* Grouped-query attention (Ainslie et al. 2023; multi-head and multi-query are its ends): query, key and value of one input, rotation and
 * the write to the cache, attention over the cache, output. */
#include "model/decoder.h"

void attention_write(struct decoder_writer *writer)
{
    const struct decoder *decoder = writer->decoder;
    const enum decoder_tensor inputs[] = {DECODER_QUERY, DECODER_KEY, DECODER_VALUE};
    const int32_t outs[] = {writer->query, writer->key, writer->value};
    decoder_add_linear(writer, "attention query, key, value", writer->normed, 3, inputs, outs, 0);

    struct op rope = {.kind = OP_ROPE_CACHE};
    rope.rope_cache = (struct op_rope_cache){
        .query = writer->query,
        .key = writer->key,
        .value = writer->value,
        .query_norm = decoder->has_head_norms ? decoder_add_weight(writer, DECODER_QUERY_NORM, 0) : -1,
        .key_norm = decoder->has_head_norms ? decoder_add_weight(writer, DECODER_KEY_NORM, 0) : -1,
        .norm_epsilon = decoder->norm_epsilon,
        .n_heads = decoder->n_heads,
        .rotary_width = decoder->has_rotation && !decoder->has_rotation[writer->layer] ? 0 : decoder->rotary_width,
        .pairing = decoder->pairing,
        .frequencies = decoder->frequencies,
        .magnitude = decoder->rope_magnitude,
        .group = writer->group,
        .layer = writer->group_layer,
    };
    decoder_add_op(writer, "rotary embedding, cache", &rope);

    struct op attention = {.kind = OP_ATTENTION};
    attention.attention = (struct op_attention){
        .query = writer->query,
        .out = writer->attended,
        .n_heads = decoder->n_heads,
        .scale = decoder->attention_scale,
        .window = decoder_layer_has_window(decoder, writer->layer) ? decoder->window : 0,
        .group = writer->group,
        .layer = writer->group_layer,
    };
    decoder_add_op(writer, "attention", &attention);

    const enum decoder_tensor output = DECODER_ATTENTION_OUTPUT;
    decoder_add_linear(writer, "attention output", writer->attended, 1, &output, &writer->branch, decoder->value_width); /* a head is never cut in two */
}
