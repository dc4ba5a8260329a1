/* The gated feed-forward network (Shazeer 2020): down(silu(gate x) * (up x)). */
#include "model/decoder.h"

void feed_forward_write(struct decoder_writer *writer)
{
    const enum decoder_tensor inputs[] = {DECODER_GATE, DECODER_UP};
    const int32_t outs[] = {writer->gate, writer->up};
    decoder_add_linear(writer, "feed-forward gate, up", writer->normed, 2, inputs, outs, 0);

    struct op activation = {.kind = OP_GATED_ACTIVATION};
    activation.gated = (struct op_gated_activation){.kind = ACTIVATION_SILU, .gate = writer->gate, .up = writer->up, .out = writer->activated};
    decoder_add_op(writer, "feed-forward activation", &activation);

    const enum decoder_tensor down = DECODER_DOWN;
    decoder_add_linear(writer, "feed-forward down", writer->activated, 1, &down, &writer->branch, 1);
}
