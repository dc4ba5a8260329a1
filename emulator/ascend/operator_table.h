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
    BINARY_POWER_OF_SCALAR,
    BINARY_EQUAL,
    BINARY_GREATER_EQUAL,
    BINARY_GREATER,
    BINARY_LESS,
    REDUCE_SUM,
    REDUCE_MEAN,
    REDUCE_MAX,
    REDUCE_LOG_SUM_EXP,
    REDUCE_NORM,
    RANK_TOP,
    RANK_SORT,
    RANK_INDICES,
    ACTIVATION_LEAKY_RELU,
    ACTIVATION_ELU,
    ACTIVATION_HARD_SIGMOID,
    ACTIVATION_HARD_SWISH,
    ACTIVATION_SOFTPLUS,
    ACTIVATION_THRESHOLD,
    ACTIVATION_SWISH,
    ACTIVATION_FAST_GELU,
    ACTIVATION_LOGICAL_NOT,
    REMAP_REPEAT,
    REMAP_EXPAND,
    REMAP_REPEAT_INTERLEAVE,
    REMAP_ROLL,
    REMAP_PAD,
    REMAP_REFLECT,
    REMAP_LOWER,
    REMAP_UPPER,
    REMAP_NEAREST,
    REMAP_GATHER,
    WINDOW_MEAN,
    WINDOW_MAX,
    WINDOW_PATCHES,
    ATTENTION_DECODE = 12,
    ATTENTION_PROMPT = 13,
    ROUTE_V2 = 100,
    ROUTE_V3,
    ROUTE_QUANT,
};

#define IMPLEMENTATIONS(IMPLEMENTATION)                                                                                                                        \
    IMPLEMENTATION(activation)                                                                                                                                 \
    IMPLEMENTATION(add_rms_norm)                                                                                                                               \
    IMPLEMENTATION(apply_rotary) IMPLEMENTATION(arange) IMPLEMENTATION(arg_max) IMPLEMENTATION(attention) IMPLEMENTATION(binary) IMPLEMENTATION(choice)        \
        IMPLEMENTATION(clamp) IMPLEMENTATION(concatenate) IMPLEMENTATION(convolution) IMPLEMENTATION(copy) IMPLEMENTATION(cross_entropy)                       \
            IMPLEMENTATION(cumsum) IMPLEMENTATION(dynamic_quant) IMPLEMENTATION(fill) IMPLEMENTATION(format_cast) IMPLEMENTATION(gather) IMPLEMENTATION(geglu) \
                IMPLEMENTATION(given_quant) IMPLEMENTATION(group_norm) IMPLEMENTATION(grouped_matmul) IMPLEMENTATION(index_copy) IMPLEMENTATION(index_fill)    \
                    IMPLEMENTATION(interleave_rope) IMPLEMENTATION(layer_norm) IMPLEMENTATION(matmul) IMPLEMENTATION(mla_prolog)                               \
                        IMPLEMENTATION(moe_expert_tokens) IMPLEMENTATION(moe_finalize) IMPLEMENTATION(moe_gating) IMPLEMENTATION(moe_gating_softmax)           \
                            IMPLEMENTATION(moe_permute) IMPLEMENTATION(moe_routing) IMPLEMENTATION(moe_unpermute) IMPLEMENTATION(norm_quant)                   \
                                IMPLEMENTATION(one_hot) IMPLEMENTATION(pack_int4) IMPLEMENTATION(pack_scale) IMPLEMENTATION(permute)                           \
                                    IMPLEMENTATION(quant_matmul) IMPLEMENTATION(ranking) IMPLEMENTATION(reduce) IMPLEMENTATION(remap) IMPLEMENTATION(rms_norm) \
                                        IMPLEMENTATION(rope_cache) IMPLEMENTATION(rotary) IMPLEMENTATION(scatter_kv) IMPLEMENTATION(scatter_nd)                \
                                            IMPLEMENTATION(scatter_update) IMPLEMENTATION(slice) IMPLEMENTATION(softmax) IMPLEMENTATION(split)                 \
                                                IMPLEMENTATION(swiglu) IMPLEMENTATION(top_k_top_p) IMPLEMENTATION(triangular_solve) IMPLEMENTATION(unary)      \
                                                    IMPLEMENTATION(weight_nz) IMPLEMENTATION(weight_quant) IMPLEMENTATION(windows)

/* The long argument lists of FusedInferAttentionScore, whose versions insert a few each. */
#define ATTENTION_LIMITS                                                                                                                                       \
    "f16/bf16; every layout; paged (three cache layouts) or not, lists, split rope; int8 KV with one query a sequence; no other quantisation, prefix, "        \
    "padding or sinks"
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

#define QUANT_LIMITS "no K-groups of int8 with int4, no yScale, x1Offset, yOffset"
#define QUANT_ARGUMENTS                                                                                                                                        \
    (IN, x1), (IN, x2), (OPT, x1Scale), (IN, x2Scale), (OPT, yScale), (OPT, x1Offset), (OPT, x2Offset), (OPT, yOffset), (OPT, bias), (FLAG, transposeX1),      \
        (FLAG, transposeX2), (I64, groupSize), (OUT, out)
#define WEIGHT_QUANT_LIMITS "two dimensions (310P's batches are refused)"
#define WEIGHT_QUANT_INPUTS                                                                                                                                    \
    (IN, x), (IN, weight), (IN, antiquantScale), (OPT, antiquantOffsetOptional), (OPT, quantScaleOptional), (OPT, quantOffsetOptional), (OPT, biasOptional)

#define GROUPED_LIMITS "groupType -1 and 0; the fused activation without inputs of its own"
#define GROUPED_ARGUMENTS                                                                                                                                      \
    (INLIST, x), (INLIST, weight), (OPTLIST, biasOptional), (OPTLIST, scaleOptional), (OPTLIST, offsetOptional), (OPTLIST, antiquantScaleOptional),            \
        (OPTLIST, antiquantOffsetOptional), (OPTLIST, perTokenScaleOptional), (OPT, groupListOptional), (OPTLIST, activationInputOptional),                    \
        (OPTLIST, activationQuantScaleOptional), (OPTLIST, activationQuantOffsetOptional), (I64, splitItem), (I64, groupType), (I64, groupListType),           \
        (I64, actType)
#define GROUPED_OUTPUTS (OUTLIST, out), (OPTOUTLIST, activationFeatureOutOptional), (OPTOUTLIST, dynQuantScaleOutOptional)

#define MLA_ARGUMENTS                                                                                                                                          \
    (IN, tokenX), (IN, weightDq), (IN, weightUqQr), (IN, weightUk), (IN, weightDkvKr), (IN, rmsnormGammaCq), (IN, rmsnormGammaCkv), (IN, ropeSin),             \
        (IN, ropeCos), (IN, cacheIndex), (REF, kvCacheRef), (REF, krCacheRef), (OPT, dequantScaleXOptional), (OPT, dequantScaleWDqOptional),                   \
        (OPT, dequantScaleWUqQrOptional), (OPT, dequantScaleWDkvKrOptional), (OPT, quantScaleCkvOptional), (OPT, quantScaleCkrOptional),                       \
        (OPT, smoothScalesCqOptional), (REAL, rmsnormEpsilonCq), (REAL, rmsnormEpsilonCkv), (OPTTEXT, cacheModeOptional), (OUT, queryOut), (OUT, queryRopeOut)

#define OPERATORS(ROW)                                                                                                                                         \
    ROW(Mm, SOC_ALL, matmul, 0, NULL, (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))                                                                  \
    ROW(Matmul, SOC_ALL, matmul, 1, NULL, (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))                                                              \
    ROW(BatchMatMul, SOC_ALL, matmul, 2, NULL, (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))                                                         \
    ROW(MatmulWeightNz, SOC_ALL, matmul, 3, "view dims of mat2: logical 2-D or physical 4-D", (IN, self), (IN, mat2), (OUT, out), (I8, cubeMathType))          \
    ROW(BatchMatMulWeightNz, SOC_A2 | SOC_A3 | SOC_950, matmul, 4, "view dims of mat2: logical 3-D or physical 5-D", (IN, self), (IN, mat2), (OUT, out),       \
        (I8, cubeMathType))                                                                                                                                    \
    ROW(Mv, SOC_ALL, matmul, 5, NULL, (IN, self), (IN, vec), (OUT, out), (I8, cubeMathType))                                                                   \
    ROW(Addmm, SOC_ALL, matmul, 6, NULL, (IN, self), (IN, mat1), (IN, mat2), (SCALAR, beta), (SCALAR, alpha), (OUT, out), (I8, cubeMathType))                  \
    ROW(TransMatmulWeight, SOC_ALL, weight_nz, 0, NULL, (REF, mmWeightRef))                                                                                    \
    ROW(NpuFormatCast, SOC_ALL, format_cast, 0, "ND to FRACTAL_NZ and back", (IN, srcTensor), (OUT, dstTensor))                                                \
    ROW(QuantMatmulV3, SOC_ALL, quant_matmul, 3, NULL, (IN, x1), (IN, x2), (IN, scale), (OPT, offset), (OPT, bias), (FLAG, transposeX1), (FLAG, transposeX2),  \
        (OUT, out))                                                                                                                                            \
    ROW(QuantMatmulV4, SOC_ALL, quant_matmul, 4, NULL, (IN, x1), (IN, x2), (IN, scale), (OPT, offset), (OPT, pertokenScaleOptional), (OPT, bias),              \
        (FLAG, transposeX1), (FLAG, transposeX2), (OUT, out))                                                                                                  \
    ROW(QuantMatmulV5, SOC_ALL, quant_matmul, 5, QUANT_LIMITS, QUANT_ARGUMENTS)                                                                                \
    ROW(QuantMatmulWeightNz, SOC_ALL, quant_matmul, 6, QUANT_LIMITS, QUANT_ARGUMENTS)                                                                          \
    ROW(TransQuantParamV2, SOC_ALL, pack_scale, 0, NULL, (IN, scale), (OPT, offset), (OUT, out))                                                               \
    ROW(WeightQuantBatchMatmulV2, SOC_ALL, weight_quant, 2, WEIGHT_QUANT_LIMITS, WEIGHT_QUANT_INPUTS, (I32, antiquantGroupSize), (OUT, y))                     \
    ROW(WeightQuantBatchMatmulV3, SOC_A2 | SOC_A3 | SOC_950, weight_quant, 3, WEIGHT_QUANT_LIMITS, WEIGHT_QUANT_INPUTS, (I32, antiquantGroupSize),             \
        (I32, innerPrecise), (OUT, y))                                                                                                                         \
    ROW(ConvertWeightToINT4Pack, SOC_ALL & ~SOC_310P, pack_int4, 0, NULL, (IN, weight), (OUT, weightInt4Pack))                                                 \
    ROW(DynamicQuant, SOC_ALL, dynamic_quant, 1, NULL, (IN, x), (OPT, smoothScalesOptional), (OUT, yOut), (OUT, scaleOut))                                     \
    ROW(DynamicQuantV2, SOC_ALL, dynamic_quant, 2, NULL, (IN, x), (OPT, smoothScalesOptional), (OPT, groupIndexOptional), (I64, dstType), (OUT, yOut),         \
        (OUT, scaleOut), (OPTOUT, offsetOut))                                                                                                                  \
    ROW(AscendQuant, SOC_ALL & ~SOC_950, given_quant, 1, NULL, (IN, x), (IN, scale), (OPT, offset), (FLAG, sqrtMode), (TEXT, roundMode), (I32, dstType),       \
        (OUT, y))                                                                                                                                              \
    ROW(AscendQuantV3, SOC_ALL, given_quant, 3, NULL, (IN, x), (IN, scale), (OPT, offset), (FLAG, sqrtMode), (TEXT, roundMode), (I32, dstType), (I32, axis),   \
        (OUT, y))                                                                                                                                              \
    ROW(AscendAntiQuant, SOC_ALL & ~SOC_950, given_quant, 0, NULL, (IN, x), (IN, scale), (OPT, offset), (I64, dstType), (FLAG, sqrtMode), (OUT, y))            \
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
    ROW(InterleaveRope, SOC_A2 | SOC_A3, interleave_rope, 0, NULL, (IN, x), (IN, cos), (IN, sin), (OUT, out))                                                  \
    ROW(ScatterPaKvCache, SOC_A2 | SOC_A3, scatter_kv, 0, "cacheMode Norm and PA_NZ, scatterMode None and Nct", (IN, key), (REF, keyCacheRef),                 \
        (IN, slotMapping), (IN, value), (REF, valueCacheRef), (OPT, compressLensOptional), (OPT, compressSeqOffsetOptional), (OPT, seqLensOptional),           \
        (OPTTEXT, cacheModeOptional), (OPTTEXT, scatterModeOptional), (OPTINTS, stridesOptional), (OPTINTS, offsetsOptional))                                  \
    ROW(ScatterNdUpdate, SOC_ALL & ~SOC_310P, scatter_nd, 0, NULL, (REF, varRef), (IN, indices), (IN, updates))                                                \
    ROW(InplaceScatterUpdate, SOC_ALL & ~SOC_310P, scatter_update, 0, NULL, (REF, data), (IN, indices), (IN, updates), (I64, axis))                            \
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
    ROW(Topk, SOC_ALL, ranking, RANK_TOP, NULL, (IN, self), (I64, k), (I64, dim), (FLAG, largest), (FLAG, sorted), (OUT, valuesOut), (OUT, indicesOut))        \
    ROW(GemmaRmsNorm, SOC_ALL & ~SOC_310P, rms_norm, 1, NULL, (IN, x), (IN, gamma), (REAL, epsilon), (OUT, yOut), (OUT, rstdOut))                              \
    ROW(GroupNorm, SOC_ALL, group_norm, 0, NULL, (IN, self), (OPT, gamma), (OPT, beta), (I64, N), (I64, C), (I64, HxW), (I64, group), (REAL, eps), (OUT, out), \
        (OUT, meanOut), (OUT, rstdOut))                                                                                                                        \
    ROW(Norm, SOC_ALL, reduce, REDUCE_NORM, NULL, (IN, self), (SCALAR, pScalar), (INTS, dim), (FLAG, keepDim), (OUT, out))                                     \
    ROW(LogSumExp, SOC_ALL, reduce, REDUCE_LOG_SUM_EXP, NULL, (IN, self), (INTS, dim), (FLAG, keepDim), (OUT, out))                                            \
    ROW(Max, SOC_ALL, reduce, REDUCE_MAX, NULL, (IN, self), (OUT, out))                                                                                        \
    ROW(MaxDim, SOC_ALL, arg_max, 1, NULL, (IN, self), (I64, dim), (FLAG, keepdim), (OUT, out), (OUT, indices))                                                \
    ROW(Sort, SOC_ALL, ranking, RANK_SORT, NULL, (IN, self), (FLAG, stable), (I64, dim), (FLAG, descending), (OUT, valuesOut), (OUT, indicesOut))              \
    ROW(Argsort, SOC_ALL, ranking, RANK_INDICES, NULL, (IN, self), (I64, dim), (FLAG, descending), (OUT, out))                                                 \
    ROW(Cumsum, SOC_ALL, cumsum, 0, NULL, (IN, self), (I64, dim), (TYPE, dtype), (OUT, out))                                                                   \
    ROW(LeakyRelu, SOC_ALL & ~SOC_310P, activation, ACTIVATION_LEAKY_RELU, NULL, (IN, self), (SCALAR, negativeSlope), (OUT, out))                              \
    ROW(Elu, SOC_ALL, activation, ACTIVATION_ELU, NULL, (IN, self), (SCALAR, alpha), (SCALAR, scale), (SCALAR, inputScale), (OUT, out))                        \
    ROW(Hardsigmoid, SOC_ALL & ~SOC_310P, activation, ACTIVATION_HARD_SIGMOID, NULL, (IN, self), (OUT, out))                                                   \
    ROW(Hardswish, SOC_ALL & ~SOC_310P, activation, ACTIVATION_HARD_SWISH, NULL, (IN, self), (OUT, out))                                                       \
    ROW(Softplus, SOC_ALL & ~SOC_950, activation, ACTIVATION_SOFTPLUS, NULL, (IN, self), (SCALAR, beta), (SCALAR, threshold), (OUT, out))                      \
    ROW(InplaceThreshold, SOC_ALL & ~SOC_310P, activation, ACTIVATION_THRESHOLD, NULL, (REF, selfRef), (SCALAR, threshold), (SCALAR, value))                   \
    ROW(Swish, SOC_ALL, activation, ACTIVATION_SWISH, NULL, (IN, self), (OPTSCALAR, betaOptional), (OUT, out))                                                 \
    ROW(FastGelu, SOC_ALL & ~SOC_310P, activation, ACTIVATION_FAST_GELU, NULL, (IN, self), (OUT, out))                                                         \
    ROW(LogicalNot, SOC_ALL, activation, ACTIVATION_LOGICAL_NOT, NULL, (IN, self), (OUT, out))                                                                 \
    ROW(GeGluV3, SOC_ALL, geglu, 0, NULL, (IN, self), (I64, dim), (I64, approximate), (FLAG, activateLeft), (OUT, out), (OUT, outGelu))                        \
    ROW(SWhere, SOC_ALL, choice, 0, NULL, (IN, condition), (IN, self), (IN, other), (OUT, out))                                                                \
    ROW(InplaceMaskedFillScalar, SOC_ALL, choice, 1, NULL, (REF, selfRef), (IN, mask), (SCALAR, value))                                                        \
    ROW(InplaceMaskedFillTensor, SOC_ALL & ~SOC_310P, choice, 2, NULL, (REF, selfRef), (IN, mask), (IN, value))                                                \
    ROW(PowTensorTensor, SOC_ALL, binary, BINARY_POWER, NULL, (IN, self), (IN, other), (OUT, out))                                                             \
    ROW(PowScalarTensor, SOC_ALL, binary, BINARY_POWER_OF_SCALAR, NULL, (SCALAR, other), (IN, self), (OUT, out))                                               \
    ROW(InplacePowTensorTensor, SOC_ALL, binary, BINARY_POWER, NULL, (REF, selfRef), (IN, other))                                                              \
    ROW(Repeat, SOC_ALL, remap, REMAP_REPEAT, NULL, (IN, self), (INTS, repeats), (OUT, out))                                                                   \
    ROW(RepeatInterleaveIntWithDim, SOC_ALL & ~SOC_310P, remap, REMAP_REPEAT_INTERLEAVE, NULL, (IN, self), (I64, repeats), (I64, dim), (I64, outputSize),      \
        (OUT, out))                                                                                                                                            \
    ROW(Expand, SOC_ALL, remap, REMAP_EXPAND, NULL, (IN, self), (INTS, size), (OUT, out))                                                                      \
    ROW(Roll, SOC_ALL, remap, REMAP_ROLL, NULL, (IN, x), (INTS, shifts), (INTS, dims), (OUT, out))                                                             \
    ROW(ConstantPadNd, SOC_ALL, remap, REMAP_PAD, NULL, (IN, self), (INTS, pad), (SCALAR, value), (OUT, out))                                                  \
    ROW(ReflectionPad1d, SOC_ALL, remap, REMAP_REFLECT, NULL, (IN, self), (INTS, padding), (OUT, out))                                                         \
    ROW(Tril, SOC_ALL & ~SOC_310P, remap, REMAP_LOWER, NULL, (IN, self), (I64, diagonal), (OUT, out))                                                          \
    ROW(Triu, SOC_ALL, remap, REMAP_UPPER, NULL, (IN, self), (I64, diagonal), (OUT, out))                                                                      \
    ROW(InplaceTril, SOC_ALL & ~SOC_310P, remap, REMAP_LOWER, NULL, (REF, selfRef), (I64, diagonal))                                                           \
    ROW(InplaceTriu, SOC_ALL, remap, REMAP_UPPER, NULL, (REF, selfRef), (I64, diagonal))                                                                       \
    ROW(UpsampleNearest2d, SOC_ALL, remap, REMAP_NEAREST, NULL, (IN, self), (INTS, outputSize), (OUT, out))                                                    \
    ROW(Gather, SOC_A2 | SOC_A3, remap, REMAP_GATHER, NULL, (IN, self), (I64, dim), (IN, index), (OUT, out))                                                   \
    ROW(Stack, SOC_ALL, concatenate, 1, NULL, (INLIST, tensors), (I64, dim), (OUT, out))                                                                       \
    ROW(SplitWithSize, SOC_ALL & ~SOC_310P, split, 0, NULL, (IN, self), (INTS, splitSize), (I64, dim), (OUTLIST, out))                                         \
    ROW(InplaceIndexFillTensor, SOC_ALL & ~SOC_310P, index_fill, 0, NULL, (REF, selfRef), (I64, dim), (INTS, index), (SCALAR, value))                          \
    ROW(OneHot, SOC_ALL, one_hot, 0, NULL, (IN, self), (I32, numClasses), (IN, onValue), (IN, offValue), (I64, axis), (OUT, out))                              \
    ROW(Convolution, SOC_ALL, convolution, 0, "1-D and 2-D", (IN, input), (IN, weight), (OPT, bias), (INTS, stride), (INTS, padding), (INTS, dilation),        \
        (FLAG, transposed), (INTS, outputPadding), (I64, groups), (OUT, output), (I8, cubeMathType))                                                           \
    ROW(AvgPool2d, SOC_ALL, windows, WINDOW_MEAN, NULL, (IN, self), (INTS, kernelSize), (INTS, strides), (INTS, paddings), (FLAG, ceilMode),                   \
        (FLAG, countIncludePad), (I64, divisorOverride), (I8, cubeMathType), (OUT, out))                                                                       \
    ROW(MaxPool, SOC_ALL & ~SOC_310P, windows, WINDOW_MAX, "autoPad 0", (IN, self), (INTS, kernelShape), (INTS, strides), (I64, autoPad), (INTS, pads),        \
        (INTS, dilations), (I64, ceilMode), (OUT, out))                                                                                                        \
    ROW(Im2col, SOC_ALL & ~SOC_310P, windows, WINDOW_PATCHES, NULL, (IN, self), (INTS, kernelSize), (INTS, dilation), (INTS, padding), (INTS, stride),         \
        (OUT, out))                                                                                                                                            \
    ROW(TriangularSolve, SOC_ALL & ~SOC_310P, triangular_solve, 0, NULL, (IN, self), (IN, A), (FLAG, upper), (FLAG, transpose), (FLAG, unitriangular),         \
        (OUT, xOut), (OUT, mOut))                                                                                                                              \
    ROW(SoftmaxCrossEntropyWithLogits, SOC_ALL, cross_entropy, 0, NULL, (IN, features), (IN, labels), (OUT, loss), (OUT, backprop))                            \
    ROW(GroupedMatmulV4, SOC_ALL & ~SOC_310P, grouped_matmul, 4, GROUPED_LIMITS, GROUPED_ARGUMENTS, GROUPED_OUTPUTS)                                           \
    ROW(GroupedMatmulV5, SOC_ALL & ~SOC_310P, grouped_matmul, 5, GROUPED_LIMITS, GROUPED_ARGUMENTS, (OPTINTS, tuningConfigOptional), GROUPED_OUTPUTS)          \
    ROW(GroupedMatmulWeightNz, SOC_ALL & ~SOC_310P, grouped_matmul, 6, GROUPED_LIMITS, GROUPED_ARGUMENTS, (OPTINTS, tuningConfigOptional),                     \
        (I64, quantGroupSize), GROUPED_OUTPUTS)                                                                                                                \
    ROW(MoeGatingTopK, SOC_ALL & ~SOC_310P, moe_gating, 0, NULL, (IN, x), (OPT, biasOptional), (I64, k), (I64, kGroup), (I64, groupCount),                     \
        (I64, groupSelectMode), (I64, renorm), (I64, normType), (FLAG, outFlag), (REAL, routedScalingFactor), (REAL, eps), (OUT, yOut), (OUT, expertIdxOut),   \
        (OPTOUT, outOut))                                                                                                                                      \
    ROW(MoeGatingTopKSoftmax, SOC_A2 | SOC_A3, moe_gating_softmax, 1, NULL, (IN, x), (OPT, finishedOptional), (I64, k), (OUT, yOut), (OUT, expertIdxOut),      \
        (OUT, rowIdxOut))                                                                                                                                      \
    ROW(MoeGatingTopKSoftmaxV2, SOC_ALL & ~SOC_310P, moe_gating_softmax, 2, NULL, (IN, x), (OPT, finishedOptional), (I64, k), (I64, renorm),                   \
        (FLAG, outputSoftmaxResultFlag), (OUT, yOut), (OUT, expertIdxOut), (OPTOUT, softmaxResultOutOptional))                                                 \
    ROW(MoeInitRoutingV2, SOC_ALL & ~SOC_310P, moe_routing, ROUTE_V2, NULL, (IN, x), (IN, expertIdx), (I64, activeNum), (I64, expertCapacity),                 \
        (I64, expertNum), (I64, dropPadMode), (I64, expertTokensCountOrCumsumFlag), (FLAG, expertTokensBeforeCapacityFlag), (OUT, expandedXOut),               \
        (OUT, expandedRowIdxOut), (OPTOUT, expertTokensCountOrCumsumOut), (OPTOUT, expertTokensBeforeCapacityOut))                                             \
    ROW(MoeInitRoutingV3, SOC_ALL & ~SOC_310P, moe_routing, ROUTE_V3, "as restricted on A2 and A3", (IN, x), (IN, expertIdx), (OPT, scaleOptional),            \
        (OPT, offsetOptional), (I64, activeNum), (I64, expertCapacity), (I64, expertNum), (I64, dropPadMode), (I64, expertTokensNumType),                      \
        (FLAG, expertTokensNumFlag), (I64, quantMode), (OPTINTS, activeExpertRangeOptional), (I64, rowIdxType), (OUT, expandedXOut), (OUT, expandedRowIdxOut), \
        (OUT, expertTokensCountOrCumsumOut), (OPTOUT, expandedScaleOut))                                                                                       \
    ROW(MoeInitRoutingQuantV2, SOC_ALL & ~SOC_310P, moe_routing, ROUTE_QUANT, "no smooth scales for each expert", (IN, x), (IN, expertIdx),                    \
        (OPT, scaleOptional), (OPT, offsetOptional), (I64, activeNum), (I64, expertCapacity), (I64, expertNum), (I64, dropPadMode),                            \
        (I64, expertTokensCountOrCumsumFlag), (FLAG, expertTokensBeforeCapacityFlag), (I64, quantMode), (OUT, expandedXOut), (OUT, expandedRowIdxOut),         \
        (OPTOUT, expertTokensCountOrCumsumOut), (OPTOUT, expertTokensBeforeCapacityOut), (OPTOUT, dynamicQuantScaleOutOptional))                               \
    ROW(MoeFinalizeRoutingV2, SOC_ALL & ~SOC_310P, moe_finalize, 0, NULL, (IN, expandedX), (IN, expandedRowIdx), (OPT, x1Optional), (OPT, x2Optional),         \
        (OPT, biasOptional), (OPT, scalesOptional), (OPT, expertIdxOptional), (I64, dropPadMode), (OUT, out))                                                  \
    ROW(MoeTokenPermute, SOC_ALL & ~SOC_310P, moe_permute, 0, NULL, (IN, tokens), (IN, indices), (I64, numOutTokens), (FLAG, paddedMode),                      \
        (OUT, permuteTokensOut), (OUT, sortedIndicesOut))                                                                                                      \
    ROW(MoeTokenUnpermute, SOC_ALL & ~SOC_310P, moe_unpermute, 0, NULL, (IN, permutedTokens), (IN, sortedIndices), (OPT, probsOptional), (FLAG, paddedMode),   \
        (OPTINTS, restoreShapeOptional), (OUT, out))                                                                                                           \
    ROW(MoeComputeExpertTokens, SOC_A2 | SOC_A3, moe_expert_tokens, 0, NULL, (IN, sortedExperts), (I64, numExperts), (OUT, out))                               \
    ROW(AddRmsNormQuant, SOC_ALL, norm_quant, 0, NULL, (IN, x1), (IN, x2), (IN, gamma), (IN, scales1), (OPT, scales2Optional), (OPT, zeroPoints1Optional),     \
        (OPT, zeroPoints2Optional), (I64, axis), (REAL, epsilon), (FLAG, divMode), (OUT, y1Out), (OUT, y2Out), (OUT, xOut))                                    \
    ROW(AddRmsNormDynamicQuant, SOC_ALL & ~SOC_310P, norm_quant, 1, NULL, (IN, x1), (IN, x2), (IN, gamma), (OPT, smoothScale1Optional),                        \
        (OPT, smoothScale2Optional), (REAL, epsilon), (OUT, y1Out), (OUT, y2Out), (OUT, xOut), (OUT, scale1Out), (OUT, scale2Out))                             \
    ROW(ApplyTopKTopP, SOC_ALL & ~SOC_310P, top_k_top_p, 0, NULL, (IN, logits), (OPT, p), (OPT, k), (OUT, out))                                                \
    ROW(IncreFlashAttentionV4, SOC_ALL & ~SOC_310P, attention, ATTENTION_DECODE, ATTENTION_LIMITS, (IN, query), (INLIST, key), (INLIST, value),                \
        (OPT, pseShiftOptional), (OPT, attenMaskOptional), (OPTINTS, actualSeqLengthsKvOptional), (OPT, deqScale1Optional), (OPT, quantScale1Optional),        \
        (OPT, deqScale2Optional), (OPT, quantScale2Optional), (OPT, quantOffset2Optional), (OPT, antiquantScaleOptional), (OPT, antiquantOffsetOptional),      \
        (OPT, blockTableOptional), (OPT, kvPaddingSizeOptional), (I64, numHeads), (REAL, scaleValue), (TEXT, inputLayout), (I64, numKeyValueHeads),            \
        (I64, blockSize), (I64, innerPrecise), (OUT, attentionOut))                                                                                            \
    ROW(PromptFlashAttentionV3, SOC_ALL & ~SOC_310P, attention, ATTENTION_PROMPT, "f16/bf16, not quantised", (IN, query), (IN, key), (IN, value),              \
        (OPT, pseShiftOptional), (OPT, attenMaskOptional), (OPTINTS, actualSeqLengthsOptional), (OPTINTS, actualSeqLengthsKvOptional),                         \
        (OPT, deqScale1Optional), (OPT, quantScale1Optional), (OPT, deqScale2Optional), (OPT, quantScale2Optional), (OPT, quantOffset2Optional),               \
        (I64, numHeads), (REAL, scaleValue), (I64, preTokens), (I64, nextTokens), (TEXT, inputLayout), (I64, numKeyValueHeads), (I64, sparseMode),             \
        (I64, innerPrecise), (OUT, attentionOut))                                                                                                              \
    ROW(MlaProlog, SOC_ALL & ~SOC_310P, mla_prolog, 1, "bf16, not quantised; the roundings between its stages are assumed", MLA_ARGUMENTS)                     \
    ROW(MlaPrologV2WeightNz, SOC_ALL & ~SOC_310P, mla_prolog, 2, "bf16, not quantised; the roundings between its stages are assumed", MLA_ARGUMENTS,           \
        (OPTOUT, dequantScaleQNopeOutOptional))

#define MISSING_OPERATORS(MISSING)                                                                                                                             \
                                                                                                                                                               \
    MISSING(GroupedMatmulSwigluQuant)                                                                                                                          \
    MISSING(AddRmsNormCast)                                                                                                                                    \
    MISSING(RmsNormQuant)                                                                                                                                      \
    MISSING(AddLayerNorm)                                                                                                                                      \
    MISSING(KvRmsNormRopeCache)                                                                                                                                \
    MISSING(MlaPrologV3WeightNz)                                                                                                                               \
    MISSING(LightningIndexer)                                                                                                                                  \
    MISSING(QuantLightningIndexer) MISSING(SparseFlashAttention) MISSING(KvQuantSparseFlashAttention) MISSING(GatherPaKvCache) MISSING(InplaceQuantScatter)    \
        MISSING(DequantSwigluQuant) MISSING(DequantSwigluQuantV2) MISSING(SwiGluQuantV2) MISSING(DynamicQuantV3)                                               \
                                                                                                                                                               \
            MISSING(MoeDistributeDispatchV2) MISSING(MoeDistributeCombineV2) MISSING(Index)                                                                    \
                                                                                                                                                               \
                MISSING(Nonzero) MISSING(TopKTopPSample) MISSING(TopKTopPSampleV2) MISSING(Multinomial) MISSING(SimThreadExponential) MISSING(InplaceUniform)  \
                                                                                                                                                               \
                    MISSING(GroupedMatmul) MISSING(GroupedMatmulV2) MISSING(GroupedMatmulV3) MISSING(GroupedMatmulSwigluQuantV2)                               \
                        MISSING(GroupedMatmulSwigluQuantWeightNZ) MISSING(GroupedMatmulFinalizeRouting) MISSING(IncreFlashAttention)                           \
                            MISSING(IncreFlashAttentionV2) MISSING(IncreFlashAttentionV3)

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
#define PARAMETER_OPTLIST(name) const aclTensorList *name,
#define PARAMETER_OUTLIST(name) aclTensorList *name,
#define PARAMETER_OPTOUTLIST(name) aclTensorList *name,
#define PARAMETER_SCALAR(name) const aclScalar *name,
#define PARAMETER_OPTSCALAR(name) const aclScalar *name,
#define PARAMETER_INTS(name) const aclIntArray *name,
#define PARAMETER_OPTINTS(name) const aclIntArray *name,
#define PARAMETER_TEXT(name) const char *name,
#define PARAMETER_OPTTEXT(name) const char *name,
#define PARAMETER_I64(name) int64_t name,
#define PARAMETER_I8(name) int8_t name,
#define PARAMETER_I32(name) int32_t name,
#define PARAMETER_REAL(name) double name,
#define PARAMETER_FLAG(name) bool name,
#define PARAMETER_TYPE(name) aclDataType name,

#define OPERATOR_PROTOTYPES(name, socs, implementation, detail, limits, ...)                                                                                   \
    aclnnStatus aclnn##name##GetWorkspaceSize(FOR_EACH(PARAMETER, __VA_ARGS__) uint64_t *workspaceSize, aclOpExecutor **executor);                             \
    aclnnStatus aclnn##name(void *workspace, uint64_t workspaceSize, aclOpExecutor *executor, aclrtStream stream);

#endif
