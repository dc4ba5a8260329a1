/* Quantisers, int8 and int4 products, weight-only products and NZ matrices against numpy's results (make_quantised_goldens.py), and what they refuse. */
#include "tests/golden.h"

static char group[16];

static const struct golden *of(const char *name)
{
    return golden(group, name);
}

static void in_group(const char *name, const char *type)
{
    snprintf(group, sizeof group, *type ? "%s_%s" : "%s%s", name, type);
}

/* Bytes of the golden seen as another type and shape. */
static aclTensor *seen_as(const struct golden *g, int32_t type, const int64_t *dims, uint64_t n_dims)
{
    void *memory = device_memory(g->bytes);
    CHECK_OK(aclrtMemcpy(memory, g->bytes, g->data, g->bytes, ACL_HOST_TO_DEVICE));
    return plain_tensor(dims, n_dims, type, memory);
}

static aclTensor *tagged(const aclTensor *stored, const int64_t *view, uint64_t n_view, int32_t type, const struct golden *g)
{
    void *address;
    CHECK_OK(aclGetRawTensorAddr(stored, &address));
    return aclCreateTensor(view, n_view, (aclDataType)type, NULL, 0, ACL_FORMAT_FRACTAL_NZ, g->dims, g->n_dims, address);
}

static void same_bytes(const aclTensor *tensor, const struct golden *g)
{
    void *address;
    unsigned char *back = malloc(g->bytes);
    CHECK_OK(aclGetRawTensorAddr(tensor, &address));
    CHECK_OK(aclrtMemcpy(back, g->bytes, address, g->bytes, ACL_DEVICE_TO_HOST));
    if (memcmp(back, g->data, g->bytes))
        fprintf(stderr, "%s: bytes differ\n", g->name);
    CHECK(!memcmp(back, g->data, g->bytes));
    free(back);
}

static void scales_are_packed_and_cut_to_ten_bits(void)
{
    in_group("param", "");
    aclTensor *scale = input(of("scale")), *shift = input(of("shift")), *plain = output(of("plain")), *with = output(of("offset"));
    RUN(TransQuantParamV2, scale, NULL, plain);
    same_bytes(plain, of("plain"));
    RUN(TransQuantParamV2, scale, shift, with);
    same_bytes(with, of("offset"));
    in_group("qm", "");
    aclTensor *x = pattern_tensor(DIMS(5, 64), ACL_INT8, 1, 127), *w = pattern_tensor(DIMS(64, 32), ACL_INT8, 2, 127);
    aclTensor *bias = pattern_tensor(DIMS(32), ACL_INT32, 5, 5000), *half = output(of("f16")), *eighth = output(of("i8"));
    RUN(QuantMatmulV3, x, w, plain, NULL, bias, false, false, half);
    compare(half, of("f16"), 1);
    uint64_t uncut[32]; /* as a host might pack it: the unit cuts the lower bits itself */
    for (int i = 0; i < 32; i++) {
        uint32_t bits;
        memcpy(&bits, golden("param", "scale")->data + 4 * i, 4);
        uncut[i] = bits | 1 | (uint64_t)1 << 46;
    }
    RUN(QuantMatmulV3, x, w, tensor_from(DIMS(32), ACL_UINT64, uncut), NULL, bias, false, false, half);
    compare(half, of("f16"), 1);
    RUN(QuantMatmulV3, x, w, with, NULL, NULL, false, false, eighth);
    compare(eighth, of("i8"), 0);
    RUN(QuantMatmulV4, x, w, plain, shift, NULL, NULL, false, false, eighth); /* the offset as a tensor */
    compare(eighth, of("i8"), 0);
    aclTensor *token = input(of("token")), *brain = output(of("bf16")), *sums = output(of("i32"));
    RUN(QuantMatmulV4, x, w, scale, NULL, token, bias, false, false, brain);
    compare(brain, of("bf16"), 1);
    RUN(QuantMatmulV4, x, w, scale, NULL, NULL, bias, false, false, sums);
    compare(sums, of("i32"), 0);
}

static void four_bits_in_both_packings(void)
{
    in_group("qm", "");
    aclTensor *scale = input(golden("param", "scale")), *token = input(of("token")), *out = output(of("out4"));
    aclTensor *x = seen_as(of("x4"), ACL_INT4, DIMS(5, 64)), *w = seen_as(of("w4"), ACL_INT4, DIMS(64, 32));
    RUN(QuantMatmulV5, x, w, token, scale, NULL, NULL, NULL, NULL, NULL, false, false, 0, out);
    compare(out, of("out4"), 1);
    aclTensor *x32 = seen_as(of("x4"), ACL_INT32, DIMS(5, 8)), *w32 = seen_as(of("w4"), ACL_INT32, DIMS(64, 4));
    RUN(QuantMatmulV4, x32, w32, scale, NULL, token, NULL, false, false, out);
    compare(out, of("out4"), 1);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnQuantMatmulV4GetWorkspaceSize(x, w, scale, NULL, NULL, NULL, false, false, out, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnInplaceCopyGetWorkspaceSize(x, x, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_MESSAGE("int4, which this operator does not take");
}

static void batches_and_blocks(void)
{
    float thousandth[16];
    for (int i = 0; i < 16; i++)
        thousandth[i] = 0.001f;
    in_group("qm", "");
    aclTensor *x = pattern_tensor(DIMS(2, 3, 32), ACL_INT8, 9, 127), *w = pattern_tensor(DIMS(2, 32, 16), ACL_INT8, 10, 127), *out = output(of("batch"));
    aclTensor *scale = tensor_from(DIMS(16), ACL_FLOAT, thousandth);
    RUN(QuantMatmulV5, x, w, NULL, scale, NULL, NULL, NULL, NULL, NULL, false, false, 0, out);
    compare(out, of("batch"), 1);
    in_group("block", "");
    aclTensor *bx = pattern_tensor(DIMS(3, 512), ACL_INT8, 11, 127), *bw = pattern_tensor(DIMS(256, 512), ACL_INT8, 12, 127), *bout = output(of("out"));
    aclTensor *s1 = input(of("s1")), *s2 = input(of("s2"));
    RUN(QuantMatmulV5, bx, bw, s1, s2, NULL, NULL, NULL, NULL, NULL, false, true, 128 | 128 << 16 | (int64_t)1 << 32, bout);
    compare(bout, of("out"), 2);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnQuantMatmulV5GetWorkspaceSize(bx, bw, s1, s2, NULL, NULL, NULL, NULL, NULL, false, true, 64, bout, &size, &executor), ACLNN_PARAM_INVALID);
}

static void weight_only(const char *type, int32_t number)
{
    in_group("wq", type);
    bool half = number == ACL_FLOAT16;
    aclTensor *x = pattern_tensor(DIMS(4, 96), number, 21, 1), *w = pattern_tensor(DIMS(96, 48), ACL_INT8, 22, 127), *y = output(of("y"));
    aclTensor *scale = input(of("scale")), *offset = input(of("offset")), *bias = pattern_tensor(DIMS(48), half ? ACL_FLOAT16 : ACL_FLOAT, 25, 1);
    RUN(WeightQuantBatchMatmulV2, x, w, scale, offset, NULL, NULL, bias, 0, y);
    compare(y, of("y"), 2);
    aclTensor *stored = input(of("nz"));
    aclTensor *nz = tagged(stored, (const int64_t[]){96, 48}, 2, ACL_INT8, of("nz"));
    RUN(WeightQuantBatchMatmulV3, x, nz, scale, offset, NULL, NULL, bias, 0, 1, y);
    compare(y, of("y"), 2);
    aclTensor *four = seen_as(of("w4"), ACL_INT4, DIMS(96, 48)), *packed = seen_as(of("w4"), ACL_INT32, DIMS(96, 6)), *groups = input(of("groups"));
    aclTensor *y4 = output(of("y4"));
    RUN(WeightQuantBatchMatmulV2, x, four, groups, NULL, NULL, NULL, NULL, 32, y4);
    compare(y4, of("y4"), 2);
    RUN(WeightQuantBatchMatmulV2, x, packed, groups, NULL, NULL, NULL, NULL, 32, y4);
    compare(y4, of("y4"), 2);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnWeightQuantBatchMatmulV2GetWorkspaceSize(x, four, groups, NULL, NULL, NULL, NULL, 33, y4, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnWeightQuantBatchMatmulV2GetWorkspaceSize(x, four, groups, NULL, NULL, NULL, NULL, 0, y4, &size, &executor), ACLNN_PARAM_INVALID);
    aclTensor *wrong = pattern_tensor(DIMS(48), half ? ACL_FLOAT : ACL_BF16, 25, 1); /* bf16 takes an fp32 bias */
    CHECK_CODE(aclnnWeightQuantBatchMatmulV2GetWorkspaceSize(x, w, scale, offset, NULL, NULL, wrong, 0, y, &size, &executor), ACLNN_PARAM_INVALID);
    if (half) {
        float three = 3;
        aclTensor *eighth = output(of("y8")), *again = tensor_from(DIMS(1), ACL_FLOAT, &three);
        uint16_t hundredth = aclFloatToFloat16(0.01f);
        aclTensor *one = tensor_from(DIMS(1), ACL_FLOAT16, &hundredth);
        RUN(WeightQuantBatchMatmulV2, x, w, one, NULL, again, NULL, NULL, 0, eighth);
        void *address;
        int8_t back[4 * 48];
        CHECK_OK(aclGetRawTensorAddr(eighth, &address));
        CHECK_OK(aclrtMemcpy(back, sizeof back, address, sizeof back, ACL_DEVICE_TO_HOST));
        for (int i = 0; i < 4 * 48; i++) /* scale 0.01 is not the same in fp16 and fp32: one step at most */
            CHECK(abs(back[i] - (int8_t)of("y8")->data[i]) <= 1);
    }
}

static void int4_is_packed(void)
{
    in_group("pack", "");
    aclTensor *v = pattern_tensor(DIMS(32, 64), ACL_INT32, 28, 8);
    aclTensor *four = plain_tensor(DIMS(32, 64), ACL_INT4, device_memory(1024)), *eight = plain_tensor(DIMS(32, 8), ACL_INT32, device_memory(1024));
    RUN(ConvertWeightToINT4Pack, v, four);
    same_bytes(four, of("bytes"));
    RUN(ConvertWeightToINT4Pack, v, eight);
    same_bytes(eight, of("bytes"));
    int64_t stored[4] = {1, 2, 16, 64};
    aclTensor *nz = aclCreateTensor((const int64_t[]){32, 64}, 2, ACL_INT4, NULL, 0, ACL_FORMAT_FRACTAL_NZ, stored, 4, device_memory(1024));
    RUN(ConvertWeightToINT4Pack, v, nz);
    same_bytes(nz, of("nz"));
}

static void quantisers(const char *type, int32_t number)
{
    in_group("dyn", type);
    int32_t ends[2] = {3, 6};
    aclTensor *x = pattern_tensor(DIMS(6, 64), number, 31, 3), *smooth = input(of("smooth")), *experts = tensor_from(DIMS(2), ACL_INT32, ends);
    aclTensor *q = output(of("grouped")), *scale = output(of("gscale")), *shift = output(of("ushift"));
    RUN(DynamicQuantV2, x, smooth, experts, ACL_INT8, q, scale, NULL);
    compare(q, of("grouped"), 0);
    compare(scale, of("gscale"), 1);
    RUN(DynamicQuantV2, x, NULL, NULL, ACL_INT8, q, scale, shift);
    compare(q, of("uneven"), 0);
    compare(scale, of("uscale"), 1);
    compare(shift, of("ushift"), 8);
    aclTensor *four = plain_tensor(DIMS(6, 64), ACL_INT4, device_memory(192)), *eight = plain_tensor(DIMS(6, 8), ACL_INT32, device_memory(192));
    RUN(DynamicQuant, x, NULL, four, scale);
    same_bytes(four, of("four"));
    RUN(DynamicQuant, x, NULL, eight, scale);
    same_bytes(eight, of("four"));
    in_group("giv", type);
    static char *const modes[] = {"round", "floor", "ceil", "trunc"};
    aclTensor *scales = input(of("scale")), *shifts = input(of("shift")), *rows = input(of("rows")), *codes = pattern_tensor(DIMS(6, 64), ACL_INT8, 36, 127);
    for (int i = 0; i < 4; i++) {
        RUN(AscendQuantV3, x, scales, shifts, false, modes[i], ACL_INT8, -1, q);
        compare(q, of(modes[i]), 0);
    }
    RUN(AscendQuant, x, scales, shifts, false, "round", ACL_INT8, q);
    compare(q, of("round"), 0);
    RUN(AscendQuantV3, x, rows, NULL, false, "round", ACL_INT8, -2, q);
    compare(q, of("byrow"), 0);
    aclTensor *back = output(of("back"));
    RUN(AscendAntiQuant, codes, scales, shifts, number, false, back);
    compare(back, of("back"), 1);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnAscendQuantV3GetWorkspaceSize(x, scales, shifts, false, "nearest", ACL_INT8, -1, q, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnAscendQuantV3GetWorkspaceSize(x, rows, NULL, false, "round", ACL_INT8, -1, q, &size, &executor), ACLNN_PARAM_INVALID);
}

static void matrices(const char *type, int32_t number)
{
    in_group("mat", type);
    float half = 0.5f, two = 2;
    aclScalar *beta = aclCreateScalar(&half, ACL_FLOAT), *alpha = aclCreateScalar(&two, ACL_FLOAT);
    aclTensor *a = pattern_tensor(DIMS(3, 40), number, 41, 1), *b = pattern_tensor(DIMS(40, 20), number, 42, 1),
              *row = pattern_tensor(DIMS(1, 20), number, 43, 1);
    aclTensor *vector = pattern_tensor(DIMS(40), number, 44, 1), *sum = output(of("add")), *product = output(of("mv"));
    RUN(Addmm, row, a, b, beta, alpha, sum, 0);
    compare(sum, of("add"), number == ACL_FLOAT ? 8 : 2);
    RUN(Mv, a, vector, product, 0);
    compare(product, of("mv"), number == ACL_FLOAT ? 8 : 2);
    aclTensor *x = pattern_tensor(DIMS(2, 3, 40), number, 45, 1), *bmm = output(of("bmm")), *weights = input(of("bnz"));
    aclTensor *physical = tagged(weights, of("bnz")->dims, 5, number, of("bnz")),
              *logical = tagged(weights, (const int64_t[]){2, 40, 20}, 3, number, of("bnz"));
    RUN(BatchMatMulWeightNz, x, physical, bmm, 0);
    compare(bmm, of("bmm"), number == ACL_FLOAT ? 8 : 2);
    RUN(BatchMatMulWeightNz, x, logical, bmm, 0);
    compare(bmm, of("bmm"), number == ACL_FLOAT ? 8 : 2);
    int64_t *shape;
    uint64_t n_shape;
    int format;
    CHECK_OK(aclnnNpuFormatCastCalculateSizeAndFormat(b, ACL_FORMAT_FRACTAL_NZ, -1, &shape, &n_shape, &format));
    CHECK(n_shape == 4 && !memcmp(shape, of("nz")->dims, 32) && format == ACL_FORMAT_FRACTAL_NZ);
    aclTensor *nz = tagged(output(of("nz")), shape, 4, number, of("nz")), *again = pattern_tensor(DIMS(40, 20), number, 0, 0);
    free(shape);
    RUN(NpuFormatCast, b, nz);
    same_bytes(nz, of("nz"));
    RUN(NpuFormatCast, nz, again);
    RUN(Mm, a, again, pattern_tensor(DIMS(3, 20), number, 0, 0), 0);
    CHECK_OK(aclDestroyScalar(beta));
    CHECK_OK(aclDestroyScalar(alpha));
}

static void type_rows_are_closed(void)
{
    aclTensor *x = pattern_tensor(DIMS(4, 64), ACL_INT8, 1, 127), *w = pattern_tensor(DIMS(64, 32), ACL_INT8, 2, 127);
    aclTensor *scale = pattern_tensor(DIMS(32), ACL_FLOAT, 3, 1), *token = pattern_tensor(DIMS(4), ACL_FLOAT, 3, 1);
    aclTensor *half = pattern_tensor(DIMS(4, 32), ACL_FLOAT16, 0, 0), *sums = pattern_tensor(DIMS(4, 32), ACL_INT32, 0, 0);
    aclTensor *bias = pattern_tensor(DIMS(32), ACL_FLOAT, 3, 1), *brain = pattern_tensor(DIMS(4, 32), ACL_BF16, 0, 0);
    uint64_t size;
    aclOpExecutor *executor;
    struct {
        aclTensor *token, *bias, *out;
    } refused[] = {{NULL, NULL, half}, {token, NULL, sums}, {NULL, bias, sums}, {NULL, NULL, x}, {token, half, brain}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_CODE(aclnnQuantMatmulV4GetWorkspaceSize(x, w, scale, NULL, refused[i].token, refused[i].bias, false, false, refused[i].out, &size, &executor),
                   ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnQuantMatmulV4GetWorkspaceSize(x, w, token, NULL, token, NULL, false, false, half, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_MESSAGE("n=32");
    CHECK_CODE(aclnnQuantMatmulV4GetWorkspaceSize(x, w, scale, NULL, scale, NULL, false, false, half, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnQuantMatmulV4GetWorkspaceSize(x, w, scale, NULL, token, NULL, false, true, half, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnQuantMatmulWeightNzGetWorkspaceSize(x, w, token, scale, NULL, NULL, NULL, NULL, NULL, false, false, 0, half, &size, &executor),
               ACLNN_PARAM_INVALID);
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "quiet", 1); /* tensors are left to the end of the process */
    golden_read(TEST_DATA "/quantised.bin");
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    scales_are_packed_and_cut_to_ten_bits();
    four_bits_in_both_packings();
    batches_and_blocks();
    int4_is_packed();
    type_rows_are_closed();
    static const struct {
        const char *name;
        int32_t number;
    } types[] = {{"f16", ACL_FLOAT16}, {"bf16", ACL_BF16}, {"f32", ACL_FLOAT}};
    for (int i = 0; i < 3; i++) {
        matrices(types[i].name, types[i].number);
        if (i == 2)
            continue;
        weight_only(types[i].name, types[i].number);
        quantisers(types[i].name, types[i].number);
    }
    device_free_all();
    golden_forget();
    return checks_failed();
}
