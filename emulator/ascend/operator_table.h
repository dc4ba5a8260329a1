/* The operators: one row each, in the order of the fact sheet's section 4. ROW(name without "aclnn", the chips that have it, implementation, which
 * operator of that implementation, limits or NULL for the full documented behaviour, arguments in ABI order). From a row come both exports
 * (operator_exports.c), the prototypes for callers, the names in the facade libraries and the line in COVERAGE.md. Arguments: IN, OPT, OUT, OPTOUT, REF
 * tensors; INLIST a tensor list; SCALAR, OPTSCALAR; INTS, OPTINTS host arrays; TEXT, OPTTEXT; I64, I8, REAL, FLAG, TYPE. */
#ifndef OPERATOR_TABLE_H
#define OPERATOR_TABLE_H

enum {
    UNARY_SILU,
    UNARY_GELU,
    UNARY_SIGMOID,
    UNARY_RELU,
    UNARY_TANH,
    UNARY_EXP,
    UNARY_NEG,
    UNARY_ABS,
    UNARY_SQRT,
    UNARY_RSQRT,
    UNARY_SIN,
    UNARY_COS,
    UNARY_LOG,
    UNARY_SIGN,
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_MAXIMUM,
    BINARY_MINIMUM,
    BINARY_POWER,
    BINARY_EQUAL,
    BINARY_GREATER_EQUAL,
    BINARY_GREATER,
    BINARY_LESS,
    REDUCE_SUM,
    REDUCE_MEAN,
    REDUCE_MAX,
};

#define IMPLEMENTATIONS(IMPLEMENTATION)                                                                                                                        \
    IMPLEMENTATION(add_rms_norm)                                                                                                                               \
    IMPLEMENTATION(apply_rotary) IMPLEMENTATION(arange) IMPLEMENTATION(arg_max) IMPLEMENTATION(attention) IMPLEMENTATION(binary) IMPLEMENTATION(clamp)         \
        IMPLEMENTATION(concatenate) IMPLEMENTATION(copy) IMPLEMENTATION(dynamic_quant) IMPLEMENTATION(fill) IMPLEMENTATION(gather) IMPLEMENTATION(index_copy)  \
            IMPLEMENTATION(layer_norm) IMPLEMENTATION(matmul) IMPLEMENTATION(permute) IMPLEMENTATION(quant_matmul) IMPLEMENTATION(reduce)                      \
                IMPLEMENTATION(rms_norm) IMPLEMENTATION(rope_cache) IMPLEMENTATION(rotary) IMPLEMENTATION(scatter_kv) IMPLEMENTATION(slice)                    \
                    IMPLEMENTATION(softmax) IMPLEMENTATION(swiglu) IMPLEMENTATION(topk) IMPLEMENTATION(unary) IMPLEMENTATION(weight_nz)

/* The long argument lists of FusedInferAttentionScore, whose versions insert a few each. */
#define ATTENTION_LIMITS "f16/bf16; every layout; paged (three cache layouts) or not, lists, split rope; no quantised KV, prefix, padding or sinks"
#define ATTENTION_INPUTS                                                                                                                                       \
    (IN, query), (INLIST, key), (INLIST, value), (OPT, pseShiftOptional), (OPT, attenMaskOptional), (OPTINTS, actualSeqLengthsOptional),                       \
        (OPTINTS, actualSeqLengthsKvOptional), (OPT, deqScale1Optional), (OPT, quantScale1Optional), (OPT, deqScale2Optional), (OPT, quantScale2Optional),     \
        (OPT, quantOffset2Optional), (OPT, antiquantScaleOptional), (OPT, antiquantOffsetOptional), (OPT, blockTableOptional),                                 \
        (OPT, queryPaddingSizeOptional), (OPT, kvPaddingSizeOptional), (OPT, keyAntiquantScaleOptional), (OPT, keyAntiquantOffsetOptional),                    \
        (OPT, valueAntiquantScaleOptional), (OPT, valueAntiquantOffsetOptional), (OPT, keySharedPrefixOptional), (OPT, valueSharedPrefixOptional),             \
        (OPTINTS, actualSharedPrefixLenOptional)
#define ATTENTION_ROPE (OPT, queryRopeOptional), (OPT, keyRopeOptional), (OPT, keyRopeAntiquantScaleOptional)
#define ATTENTION_ATTRIBUTES                                                                                                                                   \
    (I64, numHeads), (REAL, scaleValue), (I64, preTokens), (I64, nextTokens), (TEXT, inputLayout), (I64, numKeyValueHeads), (I64, sparseMode),                 \
        (I64, innerPrecise), (I64, blockSize), (I64, antiquantMode), (FLAG, softmaxLseFlag), (I64, keyAntiquantMode), (I64, valueAntiquantMode)
#define ATTENTION_OUTPUTS (OUT, attentionOut), (OPTOUT, softmaxLse)

#define OPERATORS(ROW)                                                                                                                                         \
    ROW(Mm, SOC_ALL, matmul, 0, NULL, (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))                                                                  \
    ROW(Matmul, SOC_ALL, matmul, 1, NULL, (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))                                                              \
    ROW(BatchMatMul, SOC_ALL, matmul, 2, NULL, (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))                                                         \
    ROW(MatmulWeightNz, SOC_ALL, matmul, 3, "view dims of mat2: logical 2-D or physical 4-D", (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))          \
    ROW(TransMatmulWeight, SOC_ALL, weight_nz, 0, NULL, (REF, mmWeightRef))                                                                                    \
    ROW(QuantMatmulV4, SOC_ALL, quant_matmul, 4, "int8, scale f32 or bf16 per channel or tensor, with or without per-token scale; no u64 scale, int4, \
        offsets or groups",                                                                                                                                    \
        (IN, x1), (IN, x2), (IN, scale), (OPT, offset), (OPT, pertokenScaleOptional), (OPT, bias), (FLAG, transposeX1), (FLAG, transposeX2), (OUT, out))       \
    ROW(QuantMatmulV5, SOC_ALL, quant_matmul, 5, "int8, scale f32 or bf16 per channel or tensor, with or without per-token scale; no u64 scale, int4, \
        offsets or groups",                                                                                                                                    \
        (IN, x1), (IN, x2), (OPT, x1Scale), (IN, x2Scale), (OPT, yScale), (OPT, x1Offset), (OPT, x2Offset), (OPT, yOffset), (OPT, bias), (FLAG, transposeX1),  \
        (FLAG, transposeX2), (I64, groupSize), (OUT, out))                                                                                                     \
    ROW(QuantMatmulWeightNz, SOC_ALL, quant_matmul, 6, "int8, scale f32 or bf16 per channel or tensor, with or without per-token scale; no u64 scale, \
        int4, offsets or groups",                                                                                                                              \
        (IN, x1), (IN, x2), (OPT, x1Scale), (IN, x2Scale), (OPT, yScale), (OPT, x1Offset), (OPT, x2Offset), (OPT, yOffset), (OPT, bias), (FLAG, transposeX1),  \
        (FLAG, transposeX2), (I64, groupSize), (OUT, out))                                                                                                     \
    ROW(DynamicQuant, SOC_ALL, dynamic_quant, 0, "int8 output", (IN, x), (OPT, smoothScalesOptional), (OUT, yOut), (OUT, scaleOut))                            \
    ROW(RmsNorm, SOC_ALL, rms_norm, 0, NULL, (IN, x), (IN, gamma), (REAL, epsilon), (OUT, yOut), (OUT, rstdOut))                                               \
    ROW(AddRmsNorm, SOC_ALL, add_rms_norm, 0, NULL, (IN, x1), (IN, x2), (IN, gamma), (REAL, epsilon), (OUT, yOut), (OPTOUT, rstdOut), (OPTOUT, xOut))          \
    ROW(InplaceAddRmsNorm, SOC_ALL, add_rms_norm, 1, NULL, (REF, x1Ref), (REF, x2Ref), (IN, gamma), (REAL, epsilon), (OUT, rstdOut))                           \
    ROW(LayerNorm, SOC_A2 | SOC_A3 | SOC_950, layer_norm, 0, NULL, (IN, input), (INTS, normalizedShape), (OPT, weightOptional), (OPT, biasOptional),           \
        (REAL, eps), (OUT, out), (OPTOUT, meanOutOptional), (OPTOUT, rstdOutOptional))                                                                         \
    ROW(RotaryPositionEmbedding, SOC_A2 | SOC_A3 | SOC_950, rotary, 0, "modes 0 (half) and 1 (interleave)", (IN, x), (IN, cos), (IN, sin), (I64, mode),        \
        (OUT, out))                                                                                                                                            \
    ROW(ApplyRotaryPosEmb, SOC_ALL, apply_rotary, 1, "layouts 1 (BSND) and 4 (TND)", (REF, queryRef), (REF, keyRef), (IN, cos), (IN, sin), (I64, layout))      \
    ROW(ApplyRotaryPosEmbV2, SOC_ALL, apply_rotary, 2, "layouts 1 (BSND) and 4 (TND), half", (REF, queryRef), (REF, keyRef), (IN, cos), (IN, sin),             \
        (I64, layout), (TEXT, rotaryMode))                                                                                                                     \
    ROW(RopeWithSinCosCache, SOC_A2 | SOC_A3, rope_cache, 0, "no mrope", (IN, positions), (IN, queryIn), (IN, keyIn), (IN, cosSinCache),                       \
        (OPTINTS, mropeSection), (I64, headSize), (FLAG, isNeoxStyle), (OUT, queryOut), (OUT, keyOut))                                                         \
    ROW(FusedInferAttentionScoreV2, SOC_A2 | SOC_A3, attention, 2, ATTENTION_LIMITS, ATTENTION_INPUTS, ATTENTION_ATTRIBUTES, ATTENTION_OUTPUTS)                \
    ROW(FusedInferAttentionScoreV3, SOC_A2 | SOC_A3, attention, 3, ATTENTION_LIMITS, ATTENTION_INPUTS, ATTENTION_ROPE, ATTENTION_ATTRIBUTES,                   \
        ATTENTION_OUTPUTS)                                                                                                                                     \
    ROW(FusedInferAttentionScoreV4, SOC_A2 | SOC_A3, attention, 4, ATTENTION_LIMITS "; with learnableSink, as from the 2025-12 pages on", ATTENTION_INPUTS,    \
        ATTENTION_ROPE, (OPT, dequantScaleQueryOptional), (OPT, learnableSinkOptional), ATTENTION_ATTRIBUTES, (I64, queryQuantMode), ATTENTION_OUTPUTS)        \
    ROW(FusedInferAttentionScoreV5, SOC_A2 | SOC_A3 | SOC_950, attention, 5, ATTENTION_LIMITS ", qStartIdx or kvStartIdx", ATTENTION_INPUTS, ATTENTION_ROPE,   \
        (OPT, dequantScaleQueryOptional), (OPT, learnableSinkOptional), (OPTINTS, qStartIdxOptional), (OPTINTS, kvStartIdxOptional), ATTENTION_ATTRIBUTES,     \
        (I64, queryQuantMode), (I64, pseType), ATTENTION_OUTPUTS)                                                                                              \
    ROW(ScatterPaKvCache, SOC_A2 | SOC_A3, scatter_kv, 0, "cacheMode Norm, scatterMode None", (IN, key), (REF, keyCacheRef), (IN, slotMapping), (IN, value),   \
        (REF, valueCacheRef), (OPT, compressLensOptional), (OPT, compressSeqOffsetOptional), (OPT, seqLensOptional), (OPTTEXT, cacheModeOptional),             \
        (OPTTEXT, scatterModeOptional), (OPTINTS, stridesOptional), (OPTINTS, offsetsOptional))                                                                \
    ROW(InplaceIndexCopy, SOC_A2 | SOC_A3 | SOC_950, index_copy, 0, NULL, (REF, selfRef), (I64, dim), (IN, index), (IN, source))                               \
    ROW(Embedding, SOC_ALL, gather, 0, NULL, (IN, weight), (IN, indices), (OUT, out))                                                                          \
    ROW(GatherV2, SOC_ALL, gather, 1, NULL, (IN, self), (I64, dim), (IN, index), (OUT, out))                                                                   \
    ROW(IndexSelect, SOC_ALL, gather, 2, NULL, (IN, self), (I64, dim), (IN, index), (OUT, out))                                                                \
    ROW(SwiGlu, SOC_ALL, swiglu, 0, NULL, (IN, x), (I64, dim), (OUT, out))                                                                                     \
    ROW(Silu, SOC_ALL, unary, UNARY_SILU, NULL, (IN, self), (OUT, out))                                                                                        \
    ROW(Gelu, SOC_ALL, unary, UNARY_GELU, NULL, (IN, self), (OUT, out))                                                                                        \
    ROW(Sigmoid, SOC_ALL, unary, UNARY_SIGMOID, NULL, (IN, self), (OUT, out))                                                                                  \
    ROW(Relu, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_RELU, NULL, (IN, self), (OUT, out))                                                                      \
    ROW(Tanh, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_TANH, NULL, (IN, self), (OUT, out))                                                                      \
    ROW(Exp, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_EXP, NULL, (IN, self), (OUT, out))                                                                        \
    ROW(Neg, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_NEG, NULL, (IN, self), (OUT, out))                                                                        \
    ROW(Abs, SOC_ALL, unary, UNARY_ABS, NULL, (IN, self), (OUT, out))                                                                                          \
    ROW(Sqrt, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_SQRT, NULL, (IN, self), (OUT, out))                                                                      \
    ROW(Rsqrt, SOC_ALL, unary, UNARY_RSQRT, NULL, (IN, self), (OUT, out))                                                                                      \
    ROW(Sin, SOC_ALL, unary, UNARY_SIN, NULL, (IN, self), (OUT, out))                                                                                          \
    ROW(Cos, SOC_310P | SOC_A2 | SOC_A3, unary, UNARY_COS, NULL, (IN, self), (OUT, out))                                                                       \
    ROW(Log, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_LOG, NULL, (IN, self), (OUT, out))                                                                        \
    ROW(Sign, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_SIGN, NULL, (IN, self), (OUT, out))                                                                      \
    ROW(GeluV2, SOC_ALL, unary, UNARY_GELU, NULL, (IN, self), (I64, approximate), (OUT, out))                                                                  \
    ROW(InplaceExp, SOC_A2 | SOC_A3 | SOC_950, unary, UNARY_EXP, NULL, (REF, selfRef))                                                                         \
    ROW(InplaceSin, SOC_ALL, unary, UNARY_SIN, NULL, (REF, selfRef))                                                                                           \
    ROW(InplaceCos, SOC_310P | SOC_A2 | SOC_A3, unary, UNARY_COS, NULL, (REF, selfRef))                                                                        \
    ROW(Add, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_ADD, NULL, (IN, self), (IN, other), (SCALAR, alpha), (OUT, out))                                        \
    ROW(InplaceAdd, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_ADD, NULL, (REF, selfRef), (IN, other), (SCALAR, alpha))                                         \
    ROW(Sub, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_SUB, NULL, (IN, self), (IN, other), (SCALAR, alpha), (OUT, out))                                        \
    ROW(InplaceSub, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_SUB, NULL, (REF, selfRef), (IN, other), (SCALAR, alpha))                                         \
    ROW(Mul, SOC_ALL, binary, BINARY_MUL, NULL, (IN, self), (IN, other), (OUT, out))                                                                           \
    ROW(InplaceMul, SOC_ALL, binary, BINARY_MUL, NULL, (REF, selfRef), (IN, other))                                                                            \
    ROW(Div, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_DIV, NULL, (IN, self), (IN, other), (OUT, out))                                                         \
    ROW(InplaceDiv, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_DIV, NULL, (REF, selfRef), (IN, other))                                                          \
    ROW(Adds, SOC_ALL, binary, BINARY_ADD, NULL, (IN, self), (SCALAR, other), (SCALAR, alpha), (OUT, out))                                                     \
    ROW(InplaceAdds, SOC_ALL, binary, BINARY_ADD, NULL, (REF, selfRef), (SCALAR, other), (SCALAR, alpha))                                                      \
    ROW(Muls, SOC_ALL, binary, BINARY_MUL, NULL, (IN, self), (SCALAR, other), (OUT, out))                                                                      \
    ROW(InplaceMuls, SOC_ALL, binary, BINARY_MUL, NULL, (REF, selfRef), (SCALAR, other))                                                                       \
    ROW(Divs, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_DIV, NULL, (IN, self), (SCALAR, other), (OUT, out))                                                    \
    ROW(InplaceDivs, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_DIV, NULL, (REF, selfRef), (SCALAR, other))                                                     \
    ROW(InplaceSubs, SOC_ALL, binary, BINARY_SUB, NULL, (REF, selfRef), (SCALAR, other), (SCALAR, alpha))                                                      \
    ROW(Maximum, SOC_ALL, binary, BINARY_MAXIMUM, NULL, (IN, self), (IN, other), (OUT, out))                                                                   \
    ROW(Minimum, SOC_ALL, binary, BINARY_MINIMUM, NULL, (IN, self), (IN, other), (OUT, out))                                                                   \
    ROW(PowTensorScalar, SOC_ALL, binary, BINARY_POWER, NULL, (IN, self), (SCALAR, other), (OUT, out))                                                         \
    ROW(EqTensor, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_EQUAL, NULL, (IN, self), (IN, other), (OUT, out))                                                  \
    ROW(GeScalar, SOC_ALL, binary, BINARY_GREATER_EQUAL, NULL, (IN, self), (SCALAR, other), (OUT, out))                                                        \
    ROW(GtScalar, SOC_ALL, binary, BINARY_GREATER, NULL, (IN, self), (SCALAR, other), (OUT, out))                                                              \
    ROW(LtScalar, SOC_A2 | SOC_A3 | SOC_950, binary, BINARY_LESS, NULL, (IN, self), (SCALAR, other), (OUT, out))                                               \
    ROW(Clamp, SOC_ALL, clamp, 0, NULL, (IN, self), (OPTSCALAR, clipValueMin), (OPTSCALAR, clipValueMax), (OUT, out))                                          \
    ROW(ClampMin, SOC_ALL, clamp, 0, NULL, (IN, self), (SCALAR, clipValueMin), (OUT, out))                                                                     \
    ROW(InplaceClampMax, SOC_ALL, clamp, 0, NULL, (REF, selfRef), (SCALAR, clipValueMax))                                                                      \
    ROW(Cast, SOC_ALL, copy, 0, NULL, (IN, self), (TYPE, dtype), (OUT, out))                                                                                   \
    ROW(InplaceCopy, SOC_ALL, copy, 1, NULL, (REF, selfRef), (IN, src))                                                                                        \
    ROW(InplaceFillScalar, SOC_ALL, fill, 2, NULL, (REF, selfRef), (SCALAR, value))                                                                            \
    ROW(InplaceZero, SOC_ALL, fill, 0, NULL, (REF, selfRef))                                                                                                   \
    ROW(InplaceOne, SOC_ALL, fill, 1, NULL, (REF, selfRef))                                                                                                    \
    ROW(Arange, SOC_ALL, arange, 0, NULL, (SCALAR, start), (SCALAR, end), (SCALAR, step), (OUT, out))                                                          \
    ROW(Permute, SOC_A2 | SOC_A3 | SOC_950, permute, 0, NULL, (IN, self), (INTS, dims), (OUT, out))                                                            \
    ROW(Cat, SOC_ALL, concatenate, 0, NULL, (INLIST, tensors), (I64, dim), (OUT, out))                                                                         \
    ROW(Slice, SOC_A2 | SOC_A3 | SOC_950, slice, 0, NULL, (IN, self), (I64, dim), (I64, start), (I64, end), (I64, step), (OUT, out))                           \
    ROW(Softmax, SOC_ALL, softmax, 0, NULL, (IN, self), (I64, dim), (OUT, out))                                                                                \
    ROW(LogSoftmax, SOC_ALL, softmax, 1, NULL, (IN, self), (I64, dim), (OUT, out))                                                                             \
    ROW(ReduceSum, SOC_ALL, reduce, REDUCE_SUM, NULL, (IN, self), (INTS, dim), (FLAG, keepDim), (TYPE, dtype), (OUT, out))                                     \
    ROW(Mean, SOC_ALL, reduce, REDUCE_MEAN, NULL, (IN, self), (INTS, dim), (FLAG, keepDim), (TYPE, dtype), (OUT, out))                                         \
    ROW(Amax, SOC_ALL, reduce, REDUCE_MAX, NULL, (IN, self), (INTS, dim), (FLAG, keepDim), (OUT, out))                                                         \
    ROW(ArgMax, SOC_ALL, arg_max, 0, NULL, (IN, self), (I64, dim), (FLAG, keepdim), (OUT, out))                                                                \
    ROW(Topk, SOC_ALL, topk, 0, NULL, (IN, self), (I64, k), (I64, dim), (FLAG, largest), (FLAG, sorted), (OUT, valuesOut), (OUT, indicesOut))

#define MISSING_OPERATORS(MISSING)                                                                                                                             \
    MISSING(Addmm)                                                                                                                                             \
    MISSING(BatchMatMulWeightNz) MISSING(Mv) MISSING(QuantMatmulV3) MISSING(TransQuantParamV2) MISSING(WeightQuantBatchMatmulV2) MISSING(                      \
        WeightQuantBatchMatmulV3) MISSING(GroupedMatmulV4) MISSING(GroupedMatmulV5) MISSING(GroupedMatmulWeightNz) MISSING(GroupedMatmulSwigluQuant)           \
        MISSING(AddRmsNormCast) MISSING(RmsNormQuant) MISSING(AddRmsNormQuant) MISSING(AddRmsNormDynamicQuant) MISSING(GemmaRmsNorm) MISSING(AddLayerNorm)     \
            MISSING(GroupNorm) MISSING(InterleaveRope) MISSING(KvRmsNormRopeCache) MISSING(IncreFlashAttentionV4) MISSING(PromptFlashAttentionV3)              \
                MISSING(MlaProlog) MISSING(MlaPrologV2WeightNz) MISSING(MlaPrologV3WeightNz) MISSING(LightningIndexer) MISSING(QuantLightningIndexer) MISSING( \
                    SparseFlashAttention) MISSING(KvQuantSparseFlashAttention) MISSING(GatherPaKvCache) MISSING(InplaceScatterUpdate) MISSING(ScatterNdUpdate) \
                    MISSING(InplaceQuantScatter) MISSING(FastGelu) MISSING(Swish) MISSING(DequantSwigluQuant) MISSING(DequantSwigluQuantV2)                    \
                        MISSING(SwiGluQuantV2) MISSING(DynamicQuantV2) MISSING(DynamicQuantV3) MISSING(AscendQuantV3) MISSING(AscendQuant)                     \
                            MISSING(AscendAntiQuant) MISSING(MoeGatingTopK) MISSING(MoeGatingTopKSoftmax) MISSING(MoeGatingTopKSoftmaxV2)                      \
                                MISSING(MoeInitRoutingV2) MISSING(MoeInitRoutingV3) MISSING(MoeInitRoutingQuantV2) MISSING(MoeFinalizeRoutingV2)               \
                                    MISSING(MoeTokenPermute) MISSING(MoeTokenUnpermute) MISSING(MoeComputeExpertTokens) MISSING(MoeDistributeDispatchV2)       \
                                        MISSING(MoeDistributeCombineV2) MISSING(Gather) MISSING(Index) MISSING(SplitWithSize) MISSING(Stack) MISSING(Max)      \
                                            MISSING(MaxDim) MISSING(Sort) MISSING(Argsort) MISSING(Cumsum) MISSING(Tril) MISSING(Triu) MISSING(InplaceTril)    \
                                                MISSING(InplaceMaskedFillScalar) MISSING(InplaceMaskedFillTensor) MISSING(Repeat)                              \
                                                    MISSING(RepeatInterleaveIntWithDim) MISSING(Expand) MISSING(PowTensorTensor) MISSING(LogicalNot)           \
                                                        MISSING(SWhere) MISSING(ConstantPadNd) MISSING(LogSumExp) MISSING(Nonzero) MISSING(OneHot)             \
                                                            MISSING(ApplyTopKTopP) MISSING(TopKTopPSample) MISSING(TopKTopPSampleV2) MISSING(Multinomial)      \
                                                                MISSING(SimThreadExponential) MISSING(InplaceUniform) MISSING(Norm) MISSING(GeGluV3)           \
                                                                    MISSING(LeakyRelu) MISSING(Elu) MISSING(Hardsigmoid) MISSING(Hardswish) MISSING(Softplus)  \
                                                                        MISSING(InplaceThreshold) MISSING(PowScalarTensor) MISSING(InplacePowTensorTensor)     \
                                                                            MISSING(Roll) MISSING(InplaceIndexFillTensor) MISSING(ReflectionPad1d)             \
                                                                                MISSING(Im2col) MISSING(UpsampleNearest2d) MISSING(InplaceTriu)                \
                                                                                    MISSING(Convolution) MISSING(AvgPool2d) MISSING(MaxPool)                   \
                                                                                        MISSING(TriangularSolve) MISSING(SoftmaxCrossEntropyWithLogits)        \
                                                                                            MISSING(NpuFormatCast)                                             \
                                                                                                MISSING(NpuFormatCastCalculateSizeAndFormat)                   \
                                                                                                    MISSING(ConvertWeightToINT4Pack) MISSING(GroupedMatmul)    \
                                                                                                        MISSING(GroupedMatmulV2) MISSING(GroupedMatmulV3)      \
                                                                                                            MISSING(GroupedMatmulSwigluQuantV2)                \
                                                                                                                MISSING(GroupedMatmulSwigluQuantWeightNZ)      \
                                                                                                                    MISSING(GroupedMatmulFinalizeRouting)      \
                                                                                                                        MISSING(IncreFlashAttention)           \
                                                                                                                            MISSING(IncreFlashAttentionV2)     \
                                                                                                                                MISSING(IncreFlashAttentionV3)

/* FOR_EACH(MACRO, (a, b), (c, d)) is MACRO(a, b) MACRO(c, d): at most 250 arguments. */
#define EXPAND(...) EXPAND_3(EXPAND_3(EXPAND_3(EXPAND_3(__VA_ARGS__))))
#define EXPAND_3(...) EXPAND_2(EXPAND_2(EXPAND_2(EXPAND_2(__VA_ARGS__))))
#define EXPAND_2(...) EXPAND_1(EXPAND_1(EXPAND_1(EXPAND_1(__VA_ARGS__))))
#define EXPAND_1(...) __VA_ARGS__
#define PARENTHESES ()
#define FOR_EACH(MACRO, ...) __VA_OPT__(EXPAND(FOR_EACH_STEP(MACRO, __VA_ARGS__)))
#define FOR_EACH_STEP(MACRO, first, ...) MACRO first __VA_OPT__(FOR_EACH_AGAIN PARENTHESES(MACRO, __VA_ARGS__))
#define FOR_EACH_AGAIN() FOR_EACH_STEP

#define PARAMETER(kind, name) PARAMETER_##kind(name)
#define PARAMETER_IN(name) const aclTensor *name,
#define PARAMETER_OPT(name) const aclTensor *name,
#define PARAMETER_OUT(name) aclTensor *name,
#define PARAMETER_OPTOUT(name) aclTensor *name,
#define PARAMETER_REF(name) aclTensor *name,
#define PARAMETER_INLIST(name) const aclTensorList *name,
#define PARAMETER_SCALAR(name) const aclScalar *name,
#define PARAMETER_OPTSCALAR(name) const aclScalar *name,
#define PARAMETER_INTS(name) const aclIntArray *name,
#define PARAMETER_OPTINTS(name) const aclIntArray *name,
#define PARAMETER_TEXT(name) const char *name,
#define PARAMETER_OPTTEXT(name) const char *name,
#define PARAMETER_I64(name) int64_t name,
#define PARAMETER_I8(name) int8_t name,
#define PARAMETER_REAL(name) double name,
#define PARAMETER_FLAG(name) bool name,
#define PARAMETER_TYPE(name) aclDataType name,

#define OPERATOR_PROTOTYPES(name, socs, implementation, detail, limits, ...)                                                                                   \
    aclnnStatus aclnn##name##GetWorkspaceSize(FOR_EACH(PARAMETER, __VA_ARGS__) uint64_t *workspaceSize, aclOpExecutor **executor);                             \
    aclnnStatus aclnn##name(void *workspace, uint64_t workspaceSize, aclOpExecutor *executor, aclrtStream stream);

#endif
