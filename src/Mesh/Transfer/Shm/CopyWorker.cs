// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>A copy out of shared memory, too large for the caller's thread. Holds the mapping to its end.</summary>
internal sealed class CopyJob(ShmMapping mapping, ExtentRead read, NativeRange destination) : TransferJob
{
    public ShmMapping Mapping => mapping;

    public ExtentRead Read => read;

    public NativeRange Destination => destination;

    protected override void Release() => mapping.Release();
}

/// <summary>Copies on a thread of its own, in pieces, so that a stop is followed within one piece.</summary>
internal sealed class CopyWorker : IJobWorker<CopyJob>, IStoppable
{
    private const long Piece = 1 << 20;
    private volatile bool _cut;

    /// <summary>Reads an extent in one go.</summary>
    public static unsafe TransferOutcome Copy(ShmMapping mapping, in ExtentRead read, NativeRange destination)
    {
        if (!mapping.TryFind(read, out byte* bytes, out ulong* word))
            return TransferOutcome.Stale;
        NativeCopy.Copy(bytes, (byte*)destination.Address, read.Length, stream: false);
        return ShmMapping.Verify(word, read.Generation);
    }

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

    private unsafe TransferOutcome CopyInPieces(CopyJob job)
    {
        var read = job.Read;
        if (!job.Mapping.TryFind(read, out byte* bytes, out ulong* word))
            return TransferOutcome.Stale;
        byte* to = (byte*)job.Destination.Address;
        bool stream = read.Length >= NativeCopy.Streaming;
        for (long at = 0; at < read.Length; at += Piece)
        {
            if (job.IsStopped)
                return TransferOutcome.Late;
            if (_cut)
                return TransferOutcome.Unreachable;
            NativeCopy.Copy(bytes + at, to + at, Math.Min(Piece, read.Length - at), stream);
        }

        return ShmMapping.Verify(word, read.Generation);
    }
}
