// SPDX-License-Identifier: Apache-2.0

// On the data path.

namespace Mooncake.Mesh.Transfer;

/// <summary>
/// One read of an extent by a transport that reaches into the holder's memory by itself: cut in slices, all of them
/// awaited, then the generation word compared (<see cref="IReadRule"/>). On deadline, cancel and failure alike nothing
/// writes the caller's memory once it has returned (<see cref="IFlushRule"/>).
/// </summary>
internal sealed class OneSidedRead(IOneSidedLink link, ExtentRead read, NativeRange destination, TimeSpan timeout,
    MeshRuntime runtime, CancellationToken cancel)
{
    private readonly long _start = runtime.Time.GetTimestamp();
    private readonly Queue<Task<bool>> _under = new(link.Window);

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

    /// <summary>Has all slices copied; done: the last of them has landed.</summary>
    public async ValueTask<TransferOutcome> CopyAsync()
    {
        long posted = 0;
        while (posted < read.Length || _under.Count > 0)
        {
            for (; posted < read.Length && _under.Count < link.Window; posted += link.SliceBytes)
            {
                _under.Enqueue(link.ReadAsync(new SliceRead(read.SegmentId, read.Offset + read.Skip + posted,
                    destination.Address + (nint)posted, (int)Math.Min(link.SliceBytes, read.Length - posted))));
            }

            var first = _under.Dequeue();
            if (await WaitAsync(first) is { } given)
                return given;
            if (!await first)
                return TransferOutcome.Unreachable;
        }

        return TransferOutcome.Done;
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

    /// <summary>Waits for something posted; null once it has ended, or how the read ends because it has not.</summary>
    private async ValueTask<TransferOutcome?> WaitAsync(Task posted)
    {
        if (posted.IsCompleted)
            return null;
        var left = timeout - runtime.Time.GetElapsedTime(_start);
        bool impatient = read.Patience < left;
        try
        {
            if (await posted.EndsWithinAsync(impatient ? read.Patience!.Value : left, runtime.Time, cancel))
                return null;
        }
        catch (OperationCanceledException)
        {
            return TransferOutcome.Late;
        }

        return impatient ? TransferOutcome.Unreachable : TransferOutcome.Late;
    }

    private unsafe void SumUp() => read.Sums?.Take((byte*)destination.Address);
}
