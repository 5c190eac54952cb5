// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Mesh;

/// <summary>One read of an extent by the cards: its slices over all rails, then its generation word.</summary>
/// <param name="engine">The cards.</param>
/// <param name="target">The holder.</param>
/// <param name="memory">Where the destination lies.</param>
/// <param name="words">Where the word comes to.</param>
internal sealed class RdmaRead(RdmaEngine engine, RdmaTarget target, LocalMemory memory, WordCells words)
    : IOneSidedLink
{
    private RdmaBatch? _batch;
    private long _before;
    private nint? _cell;

    /// <inheritdoc/>
    public long Landed => _before + (_batch?.Landed ?? 0);

    /// <inheritdoc/>
    public async Task<bool> CopyAsync(ExtentRead read, NativeRange destination)
    {
        // Words are those of whole extents.
        if (target.Bytes(read.SegmentId) is not { } bytes || read.Offset < 0
            || read.Offset % Segments.ExtentAllocator.Granule != 0 || read.Offset > bytes.Length
            || read.Skip > bytes.Length - read.Offset || read.Length > bytes.Length - read.Offset - read.Skip)
            return false;
        return read.Length == 0 || await RunAsync(new RdmaRequest(WorkKind.Read, destination.Address, memory, bytes,
            read.Offset + read.Skip, read.Length));
    }

    /// <inheritdoc/>
    public async Task<ulong?> ReadWordAsync(int segmentId, long offset)
    {
        long place = offset / Segments.ExtentAllocator.Granule * sizeof(ulong);
        if (target.Words(segmentId) is not { } table || place < 0 || place > table.Length - sizeof(ulong)
            || words.Take() is not { } cell)
            return null;
        _cell = cell;
        bool landed = await RunAsync(new RdmaRequest(WorkKind.Read, cell, words.Memory, table, place, sizeof(ulong)));
        return landed ? words.Read(cell) : null;
    }

    /// <inheritdoc/>
    public async Task FlushAsync()
    {
        if (_batch is { Ended.IsCompleted: false } batch)
            await target.Peer.GiveUpAsync(batch, TransferOutcome.Late);
    }

    /// <summary>Gives back what the read has taken; nothing of it is on its way any more.</summary>
    public void End()
    {
        if (_cell is { } cell)
            words.Give(cell);
    }

    private async Task<bool> RunAsync(RdmaRequest request)
    {
        _before = Landed;
        _batch = new RdmaBatch([request], engine.Options.SliceBytes);
        return await target.Peer.RunAsync(_batch) == TransferOutcome.Done;
    }
}
