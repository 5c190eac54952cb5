// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Devices;

namespace Mooncake.Mesh.Segments;

/// <summary>Memory this node contributes: the block, who has which part of it, and its generation table.</summary>
public sealed class Segment : IDisposable
{
    private Segment(int id, SegmentOptions options, SegmentMemory memory, GenerationTable generations)
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

    /// <summary>What its user wrote; the length is that which it has.</summary>
    public SegmentOptions Options { get; }

    /// <summary>Length in bytes: whole granules.</summary>
    public long Length => Memory.Length;

    /// <summary>The bytes.</summary>
    public SegmentMemory Memory { get; }

    /// <summary>
    /// The words that say whether an extent is still what a reader was told; the host's, whatever the bytes are.
    /// </summary>
    public GenerationTable Generations { get; }

    /// <summary>Free and taken ranges; only under the lock of the store.</summary>
    internal ExtentAllocator Allocator { get; }

    /// <summary>Sealed and committed objects by offset; only under the lock of the store.</summary>
    internal HeldMap Live { get; }

    /// <summary>What kind of memory it is.</summary>
    internal Tier Tier => Memory.Device is null ? Tier.Dram : Tier.Vram;

    /// <summary>Whether it takes no more objects, for good; only under the lock of the store.</summary>
    internal bool IsRetired { get; set; }

    /// <summary>Bytes of normal memory this segment will take once touched.</summary>
    internal long Promised => (Memory.Host is { HugePages: false } host ? host.Length : 0) + Generations.Memory.Length;

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
    /// <param name="runtime">The devices.</param>
    internal static MeshResult<Segment> Create(
        int id, SegmentOptions options, GenerationCounter counter, long alreadyPromised, MeshRuntime runtime)
    {
        MeshResult<SegmentMemory> memory;
        if (options.IsOnDevice)
        {
            MeshResult<IDeviceBlock> block = DeviceSegments.Allocate(id, options, runtime);
            if (block.Error is { } none)
                return none;
            options = options with { Length = block.Value.Length, FreeLess = null };
            memory = new SegmentMemory(block.Value, runtime.Devices!);
        }
        else
        {
            string name = $"mooncake-mesh-segment-{id}";
            MeshResult<MemoryBlock> block =
                MemoryBlock.Allocate(name, options.Length, options.HugePages, options.NumaNode, alreadyPromised);
            if (block.Error is { } none)
                return none;
            memory = new SegmentMemory(block.Value);
        }

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
