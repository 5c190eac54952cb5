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
    /// <summary>Copies the piece at <paramref name="at"/>; its length in bytes.</summary>
    public long Step(long at) => SummedCopy.Step((byte*)From, (byte*)To, Length, at, Sums);

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
            job.Finish(CopyInPieces(job));
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

    private TransferOutcome CopyInPieces(CopyJob job)
    {
        ref readonly var copy = ref job.Copy;
        for (long at = 0; at < copy.Length; at += copy.Step(at))
        {
            if (job.IsStopped)
                return TransferOutcome.Late;
            if (_cut)
                return TransferOutcome.Unreachable;
        }

        return copy.Verify();
    }
}
