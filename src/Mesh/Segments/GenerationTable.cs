// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Segments;

/// <summary>
/// One 64-bit word for each granule of a segment, in memory that readers map or read one-sided. The word of an
/// extent's first granule changes before the extent leaves its object: a reader whose bytes have all arrived, and who
/// then still finds the word it was told, has read that object. Thread-safe.
/// </summary>
public sealed unsafe class GenerationTable : IDisposable
{
    private readonly GenerationCounter _counter;
    private readonly long _words;

    private GenerationTable(MemoryBlock memory, long words, GenerationCounter counter)
    {
        Memory = memory;
        _words = words;
        _counter = counter;
    }

    /// <summary>The words themselves, little-endian on every host we run on; word index = offset / 4,096.</summary>
    public MemoryBlock Memory { get; }

    /// <summary>Makes the table of a segment; all words are 0, which no extent ever has.</summary>
    /// <param name="name">Name of its memory.</param>
    /// <param name="segmentLength">Length of the segment, in bytes.</param>
    /// <param name="counter">Where words come from: one counter for all segments of a store.</param>
    /// <returns>The table, or the failure of <see cref="MemoryBlock"/>.</returns>
    internal static MeshResult<GenerationTable> Create(string name, long segmentLength, GenerationCounter counter)
    {
        long words = MemoryBlock.RoundUp(segmentLength, ExtentAllocator.Granule) / ExtentAllocator.Granule;
        MeshResult<MemoryBlock> memory = MemoryBlock.Allocate(name, words * sizeof(ulong), hugePages: false);
        return memory.Error is { } error ? error : new GenerationTable(memory.Value, words, counter);
    }

    /// <summary>Gives the granule at <paramref name="offset"/> a word it, or any other, never had.</summary>
    /// <returns>The new word, never 0. No write after this call can be seen before it.</returns>
    public ulong Advance(long offset)
    {
        ulong word = Next();
        Set(offset, word);
        return word;
    }

    /// <summary>A word that no granule ever had.</summary>
    internal ulong Next() => _counter.Next();

    /// <summary>Gives the granule at <paramref name="offset"/> this word.</summary>
    // A full barrier, not a release: the bytes of the next object must not overtake the word.
    internal void Set(long offset, ulong word) => Interlocked.Exchange(ref Word(offset), word);

    /// <summary>The present word of the granule at <paramref name="offset"/>.</summary>
    public ulong Read(long offset) => Volatile.Read(ref Word(offset));

    /// <inheritdoc/>
    public void Dispose() => Memory.Dispose();

    private ref ulong Word(long offset)
    {
        long index = offset / ExtentAllocator.Granule;
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, _words);
        byte* words = Memory.Pointer;
        ObjectDisposedException.ThrowIf(words is null, this);
        return ref ((ulong*)words)[index];
    }
}

/// <summary>Counts from a random start, so that no word of an earlier incarnation comes again. Thread-safe.</summary>
internal sealed class GenerationCounter(RandomSource random)
{
    private ulong _last = random.NextUInt64();

    /// <summary>The last number given out.</summary>
    public ulong Last => Volatile.Read(ref _last);

    /// <summary>The next number, never 0.</summary>
    public ulong Next()
    {
        ulong next = Interlocked.Increment(ref _last);
        return next != 0 ? next : Interlocked.Increment(ref _last);
    }
}
