/* Taking by number, and adding back: the rows of a table (embedding) and single elements (gather).
 *
 *   index_select  y[o, i, c] = x[o, index_i, c]          index_add    x[o, index_i, c] += y[o, i, c]
 *   gather        y[o, i, c] = x[o, index_oic, c]        scatter_add  x[o, index_oic, c] += y[o, i, c]
 *
 *   o  outer, 0..outer      i  place in the index, 0..count      c  column, 0..inner      x (outer, n, inner), all dense
 *
 * Each y is read and written once: 2 outer count inner elements, 3 to add. What is added to one element of x comes from
 * one thread, which owns whole tables or a stretch of all their columns, in the order of i: the same bits for any number of
 * threads. The caller sees to it that 0 <= index < n and that x is zero before it is added to. */

#ifdef MV_SMALL_BLOCKS
#define TABLE_ROWS ((int64_t)2)
#else
#define TABLE_ROWS ((int64_t)64) /* places of one task that takes */
#endif
#define TABLE_SIZES int64_t outer, int64_t n, int64_t count, int64_t inner

INLINE void FN(take_rows)(int64_t rows, int64_t inner, const T *x, const int64_t *index, T *restrict y)
{
    if (inner == 1)
        for (int64_t i = 0; i < rows; i++)
            y[i] = x[index[i]];
    else
        for (int64_t i = 0; i < rows; i++)
            memcpy(y + i * inner, x + index[i] * inner, (size_t)inner * sizeof(T));
}

static void FN(index_select)(TABLE_SIZES, const T *x, const int64_t *index, T *y, int64_t threads)
{
    const int64_t blocks = (count + TABLE_ROWS - 1) / TABLE_ROWS;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && outer * count * inner > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < outer * blocks; task++) {
        const int64_t o = task / blocks, i = task % blocks * TABLE_ROWS;
        FN(take_rows)(MIN(TABLE_ROWS, count - i), inner, x + o * n * inner, index + i, y + (o * count + i) * inner);
    }
}

/* How many columns a thread owns: all of them where there are tables enough to go round. */
static int64_t FN(table_columns)(int64_t outer, int64_t inner, int64_t threads)
{
    return outer >= threads ? inner : ((inner + threads - 1) / threads + VL - 1) / VL * VL;
}

/* skip: the number whose rows are left out; -1 for none */
static void FN(index_add)(TABLE_SIZES, const T *y, const int64_t *index, int64_t skip, T *x, int64_t threads)
{
    const int64_t width = FN(table_columns)(outer, inner, threads), blocks = (inner + width - 1) / width;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && outer * count * inner > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < outer * blocks; task++) {
        const int64_t o = task / blocks, first = task % blocks * width, columns = MIN(width, inner - first);
        for (int64_t i = 0; i < count; i++) {
            const T *restrict y_i = y + (o * count + i) * inner + first;
            T *restrict x_i = x + (o * n + index[i]) * inner + first;
            if (index[i] != skip)
                for (int64_t c = 0; c < columns; c++)
                    x_i[c] += y_i[c];
        }
    }
}

static void FN(gather)(TABLE_SIZES, const T *x, const int64_t *index, T *y, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && outer * count * inner > SERIAL_ELEMENTS)
    for (int64_t row = 0; row < outer * count; row++) {
        const T *x_o = x + row / count * n * inner;
        for (int64_t c = 0; c < inner; c++)
            y[row * inner + c] = x_o[index[row * inner + c] * inner + c];
    }
}

static void FN(scatter_add)(TABLE_SIZES, const T *y, const int64_t *index, T *x, int64_t threads)
{
    const int64_t width = FN(table_columns)(outer, inner, threads), blocks = (inner + width - 1) / width;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && outer * count * inner > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < outer * blocks; task++) {
        const int64_t o = task / blocks, first = task % blocks * width, last = MIN(inner, first + width);
        for (int64_t i = o * count; i < (o + 1) * count; i++)
            for (int64_t c = first; c < last; c++)
                x[(o * n + index[i * inner + c]) * inner + c] += y[i * inner + c];
    }
}

#undef TABLE_ROWS
#undef TABLE_SIZES
