// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>
/// A copy between a caller's memory and a holder's, too large for the caller's thread. Holds the mapping to its end.
/// </summary>
internal sealed unsafe class CopyJob(ShmMapping mapping, in ShmCopy copy) : TransferJob
{
    private readonly ShmCopy _copy = copy;

    public ref readonly ShmCopy Copy => ref _copy;

    protected override void Release() => mapping.Release();
}

/// <summary>What is copied: all that a thread needs to know.</summary>
/// <param name="From">Where the bytes are.</param>
/// <param name="To">Where they go.</param>
/// <param name="Length">How many, in bytes.</param>
/// <param name="Sums">Gets their sums, or null.</param>
/// <param name="Word">Of a read: the word that must be the same after the last byte; null of a write.</param>
/// <param name="Generation">What the word must be.</param>
internal readonly unsafe record struct ShmCopy(nint From, nint To, long Length, SliceSums? Sums, nint Word,
    ulong Generation)
{
    /// <summary>Copies the next bytes at <paramref name="at"/>, up to <paramref name="end"/>; how many.</summary>
    public long Step(long at, long end) => SummedCopy.Step((byte*)From, (byte*)To, Length, at, end, Sums);

    /// <summary>About <paramref name="bytes"/>, in whole slices where the copy is summed.</summary>
    public long PieceOf(long bytes) =>
        Sums is null ? bytes : Math.Max(1, bytes / Sums.SliceBytes) * Sums.SliceBytes;

    /// <summary>Copies in one go.</summary>
    public TransferOutcome Run()
    {
        SummedCopy.Run((byte*)From, (byte*)To, Length, Sums);
        return Verify();
    }

    /// <summary>After the last byte: whether the bytes are those of the object that was meant (rule A1).</summary>
    public TransferOutcome Verify() =>
        Word == 0 ? TransferOutcome.Done : ShmMapping.Verify((ulong*)Word, Generation);
}

/// <summary>Copies on a thread of its own, in pieces, so that a stop is followed within one piece.</summary>
internal sealed class CopyWorker : IJobWorker<CopyJob>, IStoppable
{
    private volatile bool _cut;

    /// <inheritdoc/>
    public bool TryPrepare(CancellationToken closing) => true;

    /// <inheritdoc/>
    public bool TryRun(CopyJob job, bool lastTry)
    {
        if (job.TryBegin(this))
            job.Finish(TeamCopy.Run(job.Copy, new JobStop(job, this)));
        return true;
    }

    /// <inheritdoc/>
    public void Cut() => _cut = true;

    /// <summary>Nothing blocks here: the copy itself looks whether it was stopped.</summary>
    public void Stop()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private readonly struct JobStop(CopyJob job, CopyWorker worker) : IStopSign
    {
        public TransferOutcome Outcome => job.IsStopped
            ? TransferOutcome.Late
            : worker._cut ? TransferOutcome.Unreachable : TransferOutcome.Done;
    }
}
