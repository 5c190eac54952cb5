// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Shm;

/// <summary>Says whether a copy is to end before it is done.</summary>
internal interface IStopSign
{
    /// <summary>How it ends; Done: it goes on.</summary>
    TransferOutcome Outcome { get; }
}

/// <summary>The stop sign of a call: it ends with its time or its caller.</summary>
internal readonly struct CallStop(TimeProvider time, TimeSpan timeout, CancellationToken cancel) : IStopSign
{
    private readonly long _start = time.GetTimestamp();

    /// <inheritdoc/>
    public TransferOutcome Outcome => cancel.IsCancellationRequested || time.GetElapsedTime(_start) >= timeout
        ? TransferOutcome.Late
        : TransferOutcome.Done;
}

/// <summary>
/// A large copy that its thread shares with one of the thread pool: each takes the next piece until none is left. One
/// core alone does not fill the memory's bandwidth. The helper may come late or never, and touches nothing once the
/// copy has ended (rule A4). Benchmark: "mooncake-mesh bench transfer".
/// </summary>
internal sealed class TeamCopy(in ShmCopy copy) : IThreadPoolWorkItem
{
    /// <summary>From this size on a helper is called, in bytes: it takes tens of microseconds to come.</summary>
    public const long Least = 2 << 20;

    private const long PieceBytes = 256 * 1024;
    private readonly ShmCopy _copy = copy;
    private readonly long _piece = copy.PieceOf(PieceBytes);
    private long _next;
    private int _helping;
    private int _ended;

    /// <summary>Copies to the end, or until <paramref name="stop"/> says otherwise.</summary>
    public static TransferOutcome Run<TStop>(in ShmCopy copy, in TStop stop)
        where TStop : struct, IStopSign
    {
        if (copy.Length == 0)
            return copy.Run();
        var team = new TeamCopy(copy);
        if (copy.Length >= Least && Environment.ProcessorCount > 1)
            ThreadPool.UnsafeQueueUserWorkItem(team, preferLocal: false);
        return team.Run(stop);
    }

    /// <summary>The part of the thread that wants the copy.</summary>
    internal TransferOutcome Run<TStop>(in TStop stop)
        where TStop : struct, IStopSign
    {
        var outcome = TransferOutcome.Done;
        while (outcome == TransferOutcome.Done && TryPiece())
            outcome = stop.Outcome;
        End();
        return outcome == TransferOutcome.Done ? _copy.Verify() : outcome;
    }

    /// <summary>The helper's part.</summary>
    void IThreadPoolWorkItem.Execute()
    {
        // Counted before it looks: whoever ends the copy sees the count, or this sees the end.
        Interlocked.Increment(ref _helping);
        while (Volatile.Read(ref _ended) == 0 && TryPiece())
        {
        }

        Interlocked.Decrement(ref _helping);
    }

    private bool TryPiece()
    {
        long at = Interlocked.Add(ref _next, _piece) - _piece;
        if (at >= _copy.Length)
            return false;
        long end = Math.Min(at + _piece, _copy.Length);
        while (at < end)
            at += _copy.Step(at, end);
        return true;
    }

    private void End()
    {
        Interlocked.Exchange(ref _ended, 1);
        // At most one piece, some tens of microseconds.
        var spin = default(SpinWait);
        while (Volatile.Read(ref _helping) > 0)
            spin.SpinOnce(sleep1Threshold: -1);
    }
}
