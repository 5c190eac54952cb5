// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Transfer;

/// <summary>
/// One read of an extent by a transport that reaches into the holder's memory by itself: all bytes awaited, then the
/// generation word compared (<see cref="IReadRule"/>). On deadline, cancel and failure alike nothing writes the
/// caller's memory once it has returned (<see cref="IFlushRule"/>).
/// </summary>
internal sealed class OneSidedRead(IOneSidedLink link, ExtentRead read, NativeRange destination, TimeSpan timeout,
    MeshRuntime runtime, CancellationToken cancel)
{
    private readonly long _start = runtime.Time.GetTimestamp();

    /// <summary>Reads the extent.</summary>
    public async Task<TransferOutcome> RunAsync()
    {
        if (read.Length > destination.Length || read.Length < 0 || read.Skip < 0)
            return TransferOutcome.Stale;
        var outcome = await runtime.Policies.Read.RunAsync(this);
        if (outcome is TransferOutcome.Late or TransferOutcome.Unreachable)
            await runtime.Policies.Flush.GiveUpAsync(link);
        if (outcome == TransferOutcome.Done)
            SumUp();
        return outcome;
    }

    /// <summary>Has all bytes copied; done: the last of them has landed.</summary>
    public async ValueTask<TransferOutcome> CopyAsync()
    {
        var copy = link.CopyAsync(read, destination);
        if (await WaitAsync(copy) is { } given)
            return given;
        return await copy ? TransferOutcome.Done : TransferOutcome.Unreachable;
    }

    /// <summary>Whether the word is the one that was located; done: it is.</summary>
    public async ValueTask<TransferOutcome> CheckAsync()
    {
        var word = link.ReadWordAsync(read.SegmentId, read.Offset);
        if (await WaitAsync(word) is { } given)
            return given;
        return await word is not { } found ? TransferOutcome.Unreachable
            : found == read.Generation ? TransferOutcome.Done : TransferOutcome.Stale;
    }

    /// <summary>
    /// Waits for something posted; null once it has ended, or how the read ends because it has not. A holder of whom
    /// nothing comes for longer than the patience is unreachable.
    /// </summary>
    private async ValueTask<TransferOutcome?> WaitAsync(Task posted)
    {
        while (!posted.IsCompleted)
        {
            var left = runtime.Time.LeftOf(timeout, _start);
            bool impatient = read.Patience < left;
            long landed = link.Landed;
            try
            {
                if (await posted.EndsWithinAsync(impatient ? read.Patience!.Value : left, runtime.Time, cancel))
                    return null;
            }
            catch (OperationCanceledException)
            {
                return TransferOutcome.Late;
            }

            if (!impatient)
                return TransferOutcome.Late;
            if (link.Landed == landed)
                return TransferOutcome.Unreachable;
        }

        return null;
    }

    private unsafe void SumUp() => read.Sums?.Take((byte*)destination.Address);
}
