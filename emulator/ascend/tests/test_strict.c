/* What operators refuse, and when: two-phase discipline, types and shapes, memory errors that surface late, host arrays frozen at phase one and at
 * capture, replay and eager execution bit for bit, the order of sums. One check for each rule of the fact sheet's sections 3.6, 6.3 and 6.4. */
#include "tests/golden.h"

static const int64_t matrix[2] = {4, 32};

static aclTensor *filled(const int64_t *dims, uint64_t n_dims, int32_t type, float value)
{
    int64_t count = 1;
    for (uint64_t i = 0; i < n_dims; i++)
        count *= dims[i];
    size_t size = aclDataTypeSize((aclDataType)type);
    unsigned char *host = malloc((size_t)count * size);
    uint16_t half = aclFloatToFloat16(value);
    for (int64_t i = 0; i < count; i++)
        memcpy(host + (size_t)i * size, size == 2 ? (void *)&half : (void *)&value, size);
    void *memory = device_memory((uint64_t)count * size);
    CHECK_OK(aclrtMemcpy(memory, (size_t)count * size, host, (size_t)count * size, ACL_HOST_TO_DEVICE));
    free(host);
    return plain_tensor(dims, n_dims, type, memory);
}

static float first_element(const aclTensor *tensor)
{
    void *address;
    uint16_t half;
    CHECK_OK(aclGetRawTensorAddr(tensor, &address));
    CHECK_OK(aclrtMemcpy(&half, 2, address, 2, ACL_DEVICE_TO_HOST));
    return aclFloat16ToFloat(half);
}

static void an_executor_runs_once_unless_repeatable(void)
{
    aclTensor *x = filled(matrix, 2, ACL_FLOAT16, 2), *y = filled(matrix, 2, ACL_FLOAT16, 0), *z = filled(matrix, 2, ACL_FLOAT16, 0);
    uint64_t size;
    aclOpExecutor *executor, *other;
    void *address;
    CHECK_OK(aclnnNegGetWorkspaceSize(x, y, &size, &executor));
    CHECK_CODE(aclnnAbs(NULL, size, executor, stream), ACLNN_INNER_NULLPTR); /* another operator's executor */
    CHECK_OK(aclnnNeg(NULL, size, executor, stream));
    CHECK_CODE(aclnnNeg(NULL, size, executor, stream), ACLNN_INNER_NULLPTR);
    CHECK_MESSAGE("was run already");
    CHECK_OK(aclnnNegGetWorkspaceSize(x, y, &size, &executor));
    CHECK_OK(aclnnAbsGetWorkspaceSize(x, z, &size, &other));
    CHECK_CODE(aclSetAclOpExecutorRepeatable(executor), ACLNN_INNER_NULLPTR); /* not directly after its phase one */
    CHECK_OK(aclDestroyAclOpExecutor(executor));
    CHECK_OK(aclSetAclOpExecutorRepeatable(other));
    CHECK_OK(aclnnAbs(NULL, size, other, stream));
    CHECK_OK(aclGetRawTensorAddr(y, &address));
    CHECK_OK(aclSetInputTensorAddr(other, 0, x, address)); /* |y| = |-2| into z */
    CHECK_CODE(aclSetOutputTensorAddr(other, 1, z, address), ACLNN_PARAM_INVALID);
    CHECK_OK(aclnnAbs(NULL, size, other, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(first_element(z) == 2);
    CHECK_OK(aclDestroyAclOpExecutor(other));
    CHECK_OK(aclnnNegGetWorkspaceSize(x, y, &size, &executor));
    CHECK_OK(aclDestroyTensor(x));
    CHECK_CODE(aclnnNeg(NULL, size, executor, stream), ACLNN_INNER_NULLPTR);
    CHECK_MESSAGE("self was destroyed between");
    CHECK_OK(aclDestroyAclOpExecutor(executor));
    destroy_all((aclTensor *[]){y, z}, 2);
}

/* Products read transposed matrices as they are; other operators, and other strides, are copied first, and such an executor cannot be repeated. */
static void only_what_is_not_copied_repeats(void)
{
    uint64_t size, plain_size;
    aclOpExecutor *executor;
    int64_t dims[2] = {32, 8}, turned[2] = {1, 32}, loose[2] = {16, 1};
    void *memory = device_memory(32 * 16 * 2);
    aclTensor *a = filled(matrix, 2, ACL_FLOAT16, 1), *out = filled((const int64_t[]){4, 8}, 2, ACL_FLOAT16, 0), *same = filled(dims, 2, ACL_FLOAT16, 0);
    aclTensor *plain = plain_tensor(dims, 2, ACL_FLOAT16, memory),
              *transposed = aclCreateTensor(dims, 2, ACL_FLOAT16, turned, 0, ACL_FORMAT_ND, dims, 2, memory);
    aclTensor *strided = aclCreateTensor(dims, 2, ACL_FLOAT16, loose, 0, ACL_FORMAT_ND, dims, 2, memory);
    CHECK_OK(aclnnMmGetWorkspaceSize(a, plain, out, 0, &plain_size, &executor));
    CHECK_OK(aclDestroyAclOpExecutor(executor));
    CHECK_OK(aclnnMmGetWorkspaceSize(a, transposed, out, 0, &size, &executor));
    CHECK(size == plain_size);
    CHECK_OK(aclSetAclOpExecutorRepeatable(executor));
    CHECK_OK(aclDestroyAclOpExecutor(executor));
    CHECK_OK(aclnnMmGetWorkspaceSize(a, strided, out, 0, &size, &executor));
    CHECK(size > plain_size);
    CHECK_CODE(aclSetAclOpExecutorRepeatable(executor), 561000);
    CHECK_OK(aclDestroyAclOpExecutor(executor));
    CHECK_OK(aclnnNegGetWorkspaceSize(transposed, same, &size, &executor));
    CHECK_CODE(aclSetAclOpExecutorRepeatable(executor), 561000);
    CHECK_OK(aclDestroyAclOpExecutor(executor));
    destroy_all((aclTensor *[]){a, out, same, plain, transposed, strided}, 6);
}

static void wrong_arguments_are_refused_in_phase_one(void)
{
    int64_t wide[2] = {32, 8}, product[2] = {4, 8}, other[2] = {4, 16};
    aclTensor *a = filled(matrix, 2, ACL_FLOAT16, 1), *b = filled(wide, 2, ACL_FLOAT16, 1), *brain = filled(wide, 2, ACL_BF16, 1);
    aclTensor *out = filled(product, 2, ACL_FLOAT16, 0), *small = filled(other, 2, ACL_FLOAT16, 0), *whole = filled(matrix, 2, ACL_INT32, 0);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_CODE(aclnnMmGetWorkspaceSize(a, NULL, out, 0, &size, &executor), ACLNN_PARAM_NULLPTR);
    CHECK_MESSAGE("mat2");
    CHECK_CODE(aclnnMmGetWorkspaceSize(a, brain, out, 0, &size, &executor), ACLNN_PARAM_INVALID); /* bf16 with fp16 */
    CHECK_CODE(aclnnMmGetWorkspaceSize(a, b, small, 0, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnMmGetWorkspaceSize(a, a, out, 0, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_MESSAGE("K, the batches");
    CHECK_CODE(aclnnMmGetWorkspaceSize(a, b, out, 9, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnSiluGetWorkspaceSize(whole, a, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnNegGetWorkspaceSize(a, small, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnNegGetWorkspaceSize(a, whole, &size, &executor), ACLNN_PARAM_INVALID); /* floating into integers */
    void *address;
    CHECK_OK(aclGetRawTensorAddr(a, &address));
    int64_t row[2] = {1, 32};
    aclTensor *shifted = plain_tensor(row, 2, ACL_FLOAT16, (char *)address + 2), *target = filled(row, 2, ACL_FLOAT16, 0);
    CHECK_CODE(aclnnNegGetWorkspaceSize(shifted, target, &size, &executor), ACLNN_PARAM_INVALID);
    CHECK_MESSAGE("multiple of 32");
    CHECK(aclCreateTensor(NULL, 2, ACL_FLOAT, NULL, 0, ACL_FORMAT_ND, matrix, 2, NULL) == NULL);
    CHECK_OK(aclnnMmGetWorkspaceSize(a, b, out, 0, &size, &executor));
    CHECK(size > 0);
    CHECK_CODE(aclnnMm(NULL, 0, executor, stream), ACLNN_PARAM_INVALID); /* workspace too small */
    CHECK_CODE(aclnnMm(NULL, size, executor, stream), ACLNN_PARAM_INVALID);
    CHECK_CODE(aclnnMm(device_memory(size / 2), size, executor, stream), ACLNN_PARAM_INVALID);
    CHECK_OK(aclnnMm(device_memory(size), size, executor, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(first_element(out) == 32);
    CHECK_OK(aclnnMmGetWorkspaceSize(a, b, out, 0, &size, &executor));
    unsigned char *shared = device_memory(size + 64), kept;
    CHECK_OK(aclrtMemset(shared, size, 7, size));
    CHECK_OK(aclnnMm(shared, size, executor, stream)); /* operators write to their workspace */
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtMemcpy(&kept, 1, shared, 1, ACL_DEVICE_TO_HOST));
    CHECK(kept != 7);
    aclTensor *inside = plain_tensor(product, 2, ACL_FLOAT16, shared + 32);
    CHECK_OK(aclnnMmGetWorkspaceSize(a, b, inside, 0, &size, &executor));
    CHECK_OK(aclnnMm(shared, size, executor, stream));
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_AICORE_EXCEPTION);
    CHECK_MESSAGE("own workspace");
    CHECK_OK(aclDestroyTensor(inside));
    destroy_all((aclTensor *[]){a, b, brain, out, small, whole, shifted, target}, 8);
}

static void lists_destroy_their_elements(void)
{
    aclTensor *x = filled(matrix, 2, ACL_FLOAT16, 1);
    const aclTensor *items[1] = {x};
    aclTensorList *list = aclCreateTensorList(items, 1);
    CHECK_OK(aclDestroyTensorList(list));
    CHECK_CODE(aclDestroyTensor(x), RT_INVALID_HANDLE);
    CHECK_OK(aclDestroyTensor(NULL));
}

static void run_neg(aclTensor *x, aclTensor *y)
{
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_OK(aclnnNegGetWorkspaceSize(x, y, &size, &executor));
    CHECK_OK(aclnnNeg(NULL, size, executor, stream)); /* launching succeeds even if the kernel will fault */
}

static void bad_memory_surfaces_at_the_next_synchronisation(void)
{
    void *freed, *address;
    static _Alignas(64) uint16_t host[128];
    aclTensor *x = filled(matrix, 2, ACL_FLOAT16, 1), *y = filled(matrix, 2, ACL_FLOAT16, 0);
    aclTensor *on_host = plain_tensor(matrix, 2, ACL_FLOAT16, host);
    run_neg(on_host, y);
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_AICORE_EXCEPTION);
    CHECK_MESSAGE("aclnnNeg: argument self");
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK_OK(aclrtMalloc(&freed, 256, ACL_MEM_HUGE_FIRST));
    CHECK_OK(aclrtFree(freed));
    aclTensor *dangling = plain_tensor(matrix, 2, ACL_FLOAT16, freed);
    run_neg(x, dangling);
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_AICORE_EXCEPTION);
    CHECK_MESSAGE("was freed");
    int64_t larger[2] = {4, 64};
    CHECK_OK(aclGetRawTensorAddr(x, &address));
    aclTensor *beyond = plain_tensor(larger, 2, ACL_FLOAT16, address), *wide = filled(larger, 2, ACL_FLOAT16, 0);
    run_neg(beyond, wide);
    run_neg(x, y); /* later tasks still run */
    CHECK_CODE(aclrtSynchronizeStream(stream), RT_AICORE_EXCEPTION);
    CHECK_MESSAGE("beyond the buffer");
    CHECK(first_element(y) == -1);
    int64_t one[1] = {1}, id = 99;
    void *ids = device_memory(8);
    CHECK_OK(aclrtMemcpy(ids, 8, &id, 8, ACL_HOST_TO_DEVICE));
    aclTensor *index = plain_tensor(one, 1, ACL_INT64, ids), *row = filled((const int64_t[]){1, 32}, 2, ACL_FLOAT16, 0);
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_OK(aclnnEmbeddingGetWorkspaceSize(x, index, row, &size, &executor));
    CHECK_OK(aclnnEmbedding(NULL, size, executor, stream));
    CHECK_CODE(aclrtSynchronizeDevice(), RT_AICORE_EXCEPTION);
    CHECK_MESSAGE("index 99");
    destroy_all((aclTensor *[]){x, y, on_host, dangling, beyond, wide, index, row}, 8);
}

struct decode { /* one sequence whose keys all are zero: the result is the mean of the first `length` values, which count upwards */
    aclTensor *query, *table, *out;
    aclTensorList *keys, *values;
};

static struct decode make_decode(void)
{
    int64_t cache[3] = {4, 16, 32}, one[3] = {1, 1, 32}, blocks[2] = {1, 4};
    uint16_t host[4 * 16 * 32];
    int32_t table[4] = {0, 1, 2, 3};
    for (int i = 0; i < 4 * 16 * 32; i++)
        host[i] = aclFloatToFloat16((float)(i / 32));
    struct decode d = {.query = filled(one, 3, ACL_FLOAT16, 1), .out = filled(one, 3, ACL_FLOAT16, 0)};
    void *memory = device_memory(sizeof host), *table_memory = device_memory(sizeof table);
    CHECK_OK(aclrtMemcpy(memory, sizeof host, host, sizeof host, ACL_HOST_TO_DEVICE));
    CHECK_OK(aclrtMemcpy(table_memory, sizeof table, table, sizeof table, ACL_HOST_TO_DEVICE));
    d.table = plain_tensor(blocks, 2, ACL_INT32, table_memory);
    const aclTensor *key = filled(cache, 3, ACL_FLOAT16, 0), *value = plain_tensor(cache, 3, ACL_FLOAT16, memory);
    d.keys = aclCreateTensorList(&key, 1);
    d.values = aclCreateTensorList(&value, 1);
    return d;
}

static int attend_masked(struct decode *d, aclTensor *mask, int64_t length, int64_t block_size, void *workspace)
{
    aclIntArray *lengths = length ? aclCreateIntArray(&length, 1) : NULL;
    uint64_t size;
    aclOpExecutor *executor;
    int result = aclnnFusedInferAttentionScoreV2GetWorkspaceSize(d->query, d->keys, d->values, NULL, mask, NULL, lengths, NULL, NULL, NULL, NULL, NULL, NULL,
                                                                 NULL, d->table, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 1.0, 2147483647,
                                                                 2147483647, "BSH", 1, 0, 0, block_size, 0, false, 0, 0, d->out, NULL, &size, &executor);
    if (!result) {
        int64_t *changed = (int64_t *)(void *)&length;
        *changed = 1; /* what the caller does to its own array after phase one does not matter */
        result = aclnnFusedInferAttentionScoreV2(workspace, 65536, executor, stream);
    }
    CHECK_OK(aclDestroyIntArray(lengths));
    return result;
}

static int attend(struct decode *d, int64_t length, int64_t block_size, void *workspace)
{
    return attend_masked(d, NULL, length, block_size, workspace);
}

/* The other way to a graph for many lengths: a host length for the bucket, and the true one in a mask on the device. */
static void a_mask_on_the_device_hides_what_the_bucket_holds_too_much(struct decode *d, void *workspace)
{
    int64_t dims[3] = {1, 1, 64}; /* all of the table's four blocks */
    unsigned char hidden[64];
    void *memory = device_memory(sizeof hidden);
    aclTensor *mask = plain_tensor(dims, 3, ACL_BOOL, memory);
    aclmdlRI graph;
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    CHECK_OK(attend_masked(d, mask, 64, 16, workspace));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    for (int length = 11; length <= 41; length += 10) {
        for (int i = 0; i < 64; i++)
            hidden[i] = i >= length;
        CHECK_OK(aclrtMemcpy(memory, sizeof hidden, hidden, sizeof hidden, ACL_HOST_TO_DEVICE));
        CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
        CHECK_OK(aclrtSynchronizeStream(stream));
        CHECK(first_element(d->out) == (float)(length / 2));
    }
    CHECK_OK(aclmdlRIDestroy(graph));
    CHECK_OK(aclDestroyTensor(mask));
}

static void lengths_are_frozen_at_capture(void)
{
    struct decode d = make_decode();
    void *workspace = device_memory(65536);
    aclmdlRI graph;
    CHECK_CODE(attend(&d, 0, 16, workspace), ACLNN_INNER_TILING); /* lengths are mandatory with a block table */
    CHECK_CODE(attend(&d, 11, 24, workspace), ACLNN_INNER_TILING);
    CHECK_OK(attend(&d, 11, 16, workspace));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(first_element(d.out) == 5); /* mean of 0..10 */
    CHECK_OK(aclmdlRICaptureBegin(stream, ACL_CAPTURE_GLOBAL));
    aclrtTaskGrp group;
    CHECK_OK(aclmdlRICaptureTaskGrpBegin(stream));
    CHECK_OK(attend(&d, 11, 16, workspace));
    CHECK_OK(aclmdlRICaptureTaskGrpEnd(stream, &group));
    CHECK_OK(aclmdlRICaptureEnd(stream, &graph));
    CHECK_OK(attend(&d, 21, 16, workspace)); /* the sequence grew */
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(first_element(d.out) == 10);
    CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(first_element(d.out) == 5); /* stale: the graph still attends to 11 keys */
    CHECK_OK(aclmdlRICaptureTaskUpdateBegin(stream, group));
    CHECK_OK(attend(&d, 21, 16, workspace));
    CHECK_OK(aclmdlRICaptureTaskUpdateEnd(stream));
    CHECK_OK(aclmdlRIExecuteAsync(graph, stream));
    CHECK_OK(aclrtSynchronizeStream(stream));
    CHECK(first_element(d.out) == 10);
    aclTensor *x = filled(matrix, 2, ACL_FLOAT16, 1);
    CHECK_OK(aclmdlRICaptureTaskUpdateBegin(stream, group));
    uint64_t size;
    aclOpExecutor *executor;
    CHECK_OK(aclnnNegGetWorkspaceSize(x, x, &size, &executor));
    CHECK_CODE(aclnnNeg(NULL, size, executor, stream), RT_MODEL_UPDATE_FAILED); /* another kind of task than was captured */
    CHECK_CODE(aclmdlRICaptureTaskUpdateEnd(stream), RT_MODEL_UPDATE_FAILED);
    CHECK_OK(aclmdlRIDestroy(graph));
    a_mask_on_the_device_hides_what_the_bucket_holds_too_much(&d, workspace);
    CHECK_OK(aclDestroyTensorList(d.keys));
    CHECK_OK(aclDestroyTensorList(d.values));
    destroy_all((aclTensor *[]){d.query, d.table, d.out, x}, 4);
}

/* One row of x @ w with `rows` rows, as fp32 bits. */
static void product_row(int64_t rows, float out_row[64])
{
    int64_t a_dims[2] = {rows, 512}, b_dims[2] = {512, 64}, o_dims[2] = {rows, 64};
    float *a = malloc((size_t)rows * 512 * 4), *b = malloc(512 * 64 * 4);
    for (int64_t i = 0; i < rows * 512; i++)
        a[i] = sinf((float)(i % 512) * 0.37f);
    for (int i = 0; i < 512 * 64; i++)
        b[i] = cosf((float)i * 0.11f);
    aclTensor *left = filled(a_dims, 2, ACL_FLOAT, 0), *right = filled(b_dims, 2, ACL_FLOAT, 0), *out = filled(o_dims, 2, ACL_FLOAT, 0);
    void *address;
    CHECK_OK(aclGetRawTensorAddr(left, &address));
    CHECK_OK(aclrtMemcpy(address, (size_t)rows * 2048, a, (size_t)rows * 2048, ACL_HOST_TO_DEVICE));
    CHECK_OK(aclGetRawTensorAddr(right, &address));
    CHECK_OK(aclrtMemcpy(address, 512 * 64 * 4, b, 512 * 64 * 4, ACL_HOST_TO_DEVICE));
    RUN(Mm, left, right, out, 0);
    CHECK_OK(aclGetRawTensorAddr(out, &address));
    CHECK_OK(aclrtMemcpy(out_row, 256, address, 256, ACL_DEVICE_TO_HOST));
    destroy_all((aclTensor *[]){left, right, out}, 3);
    free(a);
    free(b);
}

static void sums_depend_on_the_batch_unless_told_otherwise(void)
{
    float one[64], many[64], again[64];
    bool differs = false;
    product_row(1, one);
    product_row(1, again);
    CHECK(!memcmp(one, again, sizeof one)); /* the same shapes give the same bits */
    for (int64_t rows = 2; rows <= 8; rows++) {
        product_row(rows, many);
        differs = differs || memcmp(one, many, sizeof one);
    }
    CHECK(differs);
    CHECK_OK(aclrtSetSysParamOpt(ACL_OPT_DETERMINISTIC, 3));
    product_row(1, one);
    for (int64_t rows = 2; rows <= 8; rows++) {
        product_row(rows, many);
        CHECK(!memcmp(one, many, sizeof one));
    }
    CHECK_OK(aclrtSetSysParamOpt(ACL_OPT_DETERMINISTIC, 0));
}

int main(void)
{
    setenv("ASCEND_EMULATOR_LEAKS", "fail", 1);
    CHECK_OK(aclInit(NULL));
    CHECK_OK(aclrtSetDevice(0));
    CHECK_OK(aclrtCreateStream(&stream));
    an_executor_runs_once_unless_repeatable();
    only_what_is_not_copied_repeats();
    wrong_arguments_are_refused_in_phase_one();
    lists_destroy_their_elements();
    bad_memory_surfaces_at_the_next_synchronisation();
    lengths_are_frozen_at_capture();
    sums_depend_on_the_batch_unless_told_otherwise();
    device_free_all();
    CHECK_OK(aclrtDestroyStream(stream));
    CHECK_OK(aclrtResetDevice(0));
    CHECK_OK(aclFinalize());
    return checks_failed();
}
