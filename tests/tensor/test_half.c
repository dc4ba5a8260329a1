/* The 16-bit types, exhaustively: every value there and back, and rounding judged by neighbours, not by a second copy of the same code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "tensor/half.h"

/* The value of a binary16 by definition (IEEE 754-2008 section 3.4), in double. Infinity where the exponent is all ones and the mantissa is zero. */
static double f16_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY) : exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static void every_f16_has_its_defined_value_and_comes_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float value = f16_to_float((uint16_t)h);
        double defined = f16_value((uint16_t)h);
        if (isnan(defined)) {
            assert_true(isnan(value));
            uint16_t back = float_to_f16(value);
            assert_true((back & 0x7C00) == 0x7C00 && (back & 0x3FF)); /* still a NaN, of the same sign */
            assert_int_equal(back & 0x8000, h & 0x8000);
        } else {
            assert_true((double)value == defined && !signbit(value) == !signbit(defined));
            assert_int_equal(float_to_f16(value), h);
        }
    }
}

/* Around every f16 and every midpoint between neighbours: just below, at and just above the midpoint. */
static void f16_rounding_goes_to_the_nearest_and_to_even_on_ties(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7C00; h++) { /* h and h + 1 are neighbours; the last one's upper neighbour stands at 65536, where infinity begins */
        double low = f16_value((uint16_t)h);
        double high = h == 0x7BFF ? 65536.0 : f16_value((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2); /* exact */
        uint32_t even = h & 1 ? h + 1 : h;
        assert_int_equal(float_to_f16(middle), even);
        assert_int_equal(float_to_f16(nextafterf(middle, 0.0f)), h);
        assert_int_equal(float_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(float_to_f16(-middle), even | 0x8000);
        assert_int_equal(float_to_f16(-nextafterf(middle, INFINITY)), (h + 1) | 0x8000);
    }
    assert_int_equal(float_to_f16(INFINITY), 0x7C00);
    assert_int_equal(float_to_f16(-3.4e38f), 0xFC00);
    assert_int_equal(float_to_f16(1e-45f), 0);
}

#ifdef __FLT16_MAX__
/* The compiler's own conversion, over floats that step through all exponents and many mantissas. */
static void f16_agrees_with_the_compiler(void **state)
{
    (void)state;
    for (uint64_t step = 0; step <= UINT32_MAX; step += 997) {
        uint32_t bits = (uint32_t)step;
        float value = float_from_bits(bits);
        _Float16 theirs = (_Float16)value;
        uint16_t expected;
        memcpy(&expected, &theirs, sizeof expected);
        if (isnan(value))
            assert_true((float_to_f16(value) & 0x7FFF) > 0x7C00);
        else if (float_to_f16(value) != expected)
            fail_msg("%08x: %04x, expected %04x", bits, float_to_f16(value), expected);
    }
}
#else
static void f16_agrees_with_the_compiler(void **state)
{
    (void)state;
    print_message("this compiler has no _Float16\n");
    skip();
}
#endif

static void every_bf16_comes_back_and_rounds_to_the_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float value = bf16_to_float((uint16_t)h);
        assert_int_equal(float_bits(value), h << 16);
        if (isnan(value)) {
            uint16_t back = float_to_bf16(value);
            assert_true((back & 0x7F80) == 0x7F80 && (back & 0x7F));
            assert_int_equal(back, h | 0x40); /* quiet, payload and sign kept */
            continue;
        }
        assert_int_equal(float_to_bf16(value), h);
        if (isinf(value))
            continue;
        /* Away from zero the next bf16 is h + 1, and the midpoint has exactly the upper dropped bit set. */
        uint32_t middle = h << 16 | 0x8000u;
        assert_int_equal(float_to_bf16(float_from_bits(middle)), h & 1 ? h + 1 : h);
        assert_int_equal(float_to_bf16(float_from_bits(middle - 1)), h);
        assert_int_equal(float_to_bf16(float_from_bits(middle + 1)), h + 1);
    }
    assert_int_equal(float_to_bf16(float_from_bits(0x7F800001u)) & 0x7FFF, 0x7FC0); /* a NaN whose payload would be cut off */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_has_its_defined_value_and_comes_back),
        cmocka_unit_test(f16_rounding_goes_to_the_nearest_and_to_even_on_ties),
        cmocka_unit_test(f16_agrees_with_the_compiler),
        cmocka_unit_test(every_bf16_comes_back_and_rounds_to_the_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
