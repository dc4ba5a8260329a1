/* Decode with a captured graph. Attention takes the KV lengths as a HOST array, which is frozen at capture: replaying alone attends to stale lengths. The
 * task group that holds the attention is therefore updated before each replay. Keys are zero, values count upwards: the result tells how many were seen. */
#include "example.h"

enum { BLOCKS = 4, BLOCK = 16, WIDTH = 32 };

struct decode {
    aclTensor *query, *table, *out;
    aclTensorList *keys, *values;
    void *workspace, *out_memory;
    aclrtStream stream;
};

static void attend(struct decode *d, int64_t length)
{
    uint64_t size;
    aclOpExecutor *executor;
    char layout[] = "BSH";
    aclIntArray *lengths = aclCreateIntArray(&length, 1);
    OR_EXIT(aclnnFusedInferAttentionScoreV2GetWorkspaceSize(d->query, d->keys, d->values, NULL, NULL, NULL, lengths, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                                            d->table, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, 1.0, 2147483647, 2147483647,
                                                            layout, 1, 0, 0, BLOCK, 0, false, 0, 0, d->out, NULL, &size, &executor));
    if (!d->workspace)
        d->workspace = to_device(NULL, size);
    OR_EXIT(aclnnFusedInferAttentionScoreV2(d->workspace, size, executor, d->stream));
    OR_EXIT(aclDestroyIntArray(lengths));
}

/* The mean of 0, 1, ... n-1 is (n-1)/2. */
static int attended(const struct decode *d)
{
    uint16_t first;
    OR_EXIT(aclrtSynchronizeStream(d->stream));
    OR_EXIT(aclrtMemcpy(&first, 2, d->out_memory, 2, ACL_DEVICE_TO_HOST));
    return (int)(2 * aclFloat16ToFloat(first)) + 1;
}

int main(void)
{
    static uint16_t zeros[BLOCKS * BLOCK * WIDTH], counting[BLOCKS * BLOCK * WIDTH];
    const int32_t table[BLOCKS] = {0, 1, 2, 3};
    const int64_t cache[3] = {BLOCKS, BLOCK, WIDTH}, one[3] = {1, 1, WIDTH}, row[2] = {1, BLOCKS};
    for (int i = 0; i < BLOCKS * BLOCK * WIDTH; i++)
        counting[i] = aclFloatToFloat16((float)(i / WIDTH));

    OR_EXIT(aclInit(NULL));
    OR_EXIT(aclrtSetDevice(0));
    struct decode d = {0};
    OR_EXIT(aclrtCreateStream(&d.stream));
    d.out_memory = to_device(NULL, WIDTH * 2);
    void *memory[4] = {to_device(zeros, WIDTH * 2), to_device(zeros, sizeof zeros), to_device(counting, sizeof counting), to_device(table, sizeof table)};
    const aclTensor *key = tensor_over(memory[1], ACL_FLOAT16, 3, cache), *value = tensor_over(memory[2], ACL_FLOAT16, 3, cache);
    d.query = tensor_over(memory[0], ACL_FLOAT16, 3, one);
    d.table = tensor_over(memory[3], ACL_INT32, 2, row);
    d.out = tensor_over(d.out_memory, ACL_FLOAT16, 3, one);
    d.keys = aclCreateTensorList(&key, 1); /* a list owns its elements */
    d.values = aclCreateTensorList(&value, 1);

    attend(&d, 11); /* outside the capture: workspaces must exist before it, and stay until the graph is destroyed */
    printf("eager: %d keys\n", attended(&d));
    aclmdlRI graph;
    aclrtTaskGrp group;
    OR_EXIT(aclmdlRICaptureBegin(d.stream, ACL_CAPTURE_GLOBAL));
    OR_EXIT(aclmdlRICaptureTaskGrpBegin(d.stream));
    attend(&d, 11);
    OR_EXIT(aclmdlRICaptureTaskGrpEnd(d.stream, &group));
    OR_EXIT(aclmdlRICaptureEnd(d.stream, &graph));

    OR_EXIT(aclmdlRIExecuteAsync(graph, d.stream));
    int stale = attended(&d);
    printf("replayed, the sequence has 21 by now: %d keys\n", stale);
    OR_EXIT(aclmdlRICaptureTaskUpdateBegin(d.stream, group));
    attend(&d, 21);
    OR_EXIT(aclmdlRICaptureTaskUpdateEnd(d.stream));
    OR_EXIT(aclmdlRIExecuteAsync(graph, d.stream));
    int fresh = attended(&d);
    printf("replayed after the update: %d keys\n", fresh);

    OR_EXIT(aclmdlRIDestroy(graph));
    OR_EXIT(aclDestroyTensorList(d.keys));
    OR_EXIT(aclDestroyTensorList(d.values));
    OR_EXIT(aclDestroyTensor(d.query));
    OR_EXIT(aclDestroyTensor(d.table));
    OR_EXIT(aclDestroyTensor(d.out));
    for (int i = 0; i < 4; i++)
        OR_EXIT(aclrtFree(memory[i]));
    OR_EXIT(aclrtFree(d.out_memory));
    OR_EXIT(aclrtFree(d.workspace));
    OR_EXIT(aclrtDestroyStream(d.stream));
    OR_EXIT(aclrtResetDevice(0));
    OR_EXIT(aclFinalize());
    return stale == 11 && fresh == 21 ? 0 : 1;
}
