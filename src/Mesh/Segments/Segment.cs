// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Segments;

/// <summary>Memory this node contributes: the block, who has which part of it, and its generation table.</summary>
public sealed class Segment : IDisposable
{
    private Segment(int id, SegmentOptions options, MemoryBlock memory, GenerationTable generations)
    {
        Id = id;
        Options = options;
        Memory = memory;
        Generations = generations;
        Allocator = new ExtentAllocator(memory.Length);
        Live = new HeldMap(memory.Length);
    }

    /// <summary>Number within the node, from 0.</summary>
    public int Id { get; }

    /// <summary>What its user wrote.</summary>
    public SegmentOptions Options { get; }

    /// <summary>Length in bytes: whole granules.</summary>
    public long Length => Memory.Length;

    /// <summary>The bytes.</summary>
    public MemoryBlock Memory { get; }

    /// <summary>The words that say whether an extent is still what a reader was told.</summary>
    public GenerationTable Generations { get; }

    /// <summary>Free and taken ranges; only under the lock of the store.</summary>
    internal ExtentAllocator Allocator { get; }

    /// <summary>Sealed and committed objects by offset; only under the lock of the store.</summary>
    internal HeldMap Live { get; }

    /// <summary>Bytes of normal memory this segment will take once touched.</summary>
    internal long Promised => (Memory.HugePages ? 0 : Memory.Length) + Generations.Memory.Length;

    /// <inheritdoc/>
    public void Dispose()
    {
        Memory.Dispose();
        Generations.Dispose();
        Live.Dispose();
    }

    /// <summary>Allocates a segment.</summary>
    /// <param name="id">Number within the node.</param>
    /// <param name="options">What its user wrote, validated.</param>
    /// <param name="counter">Source of generation words.</param>
    /// <param name="alreadyPromised">Bytes promised to earlier segments and perhaps not touched yet.</param>
    internal static MeshResult<Segment> Create(
        int id, SegmentOptions options, GenerationCounter counter, long alreadyPromised)
    {
        string name = $"mooncake-mesh-segment-{id}";
        MeshResult<MemoryBlock> memory =
            MemoryBlock.Allocate(name, options.Length, options.HugePages, options.NumaNode, alreadyPromised);
        if (memory.Error is { } refused)
            return refused;
        MeshResult<GenerationTable> table =
            GenerationTable.Create($"mooncake-mesh-generations-{id}", memory.Value.Length, counter);
        if (table.Error is { } failed)
        {
            memory.Value.Dispose();
            return failed;
        }

        return new Segment(id, options, memory.Value, table.Value);
    }
}
