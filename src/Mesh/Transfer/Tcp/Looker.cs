// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Transfer.Tcp;

/// <summary>
/// A thread that waits for its own call's answer, and looks for it for a little while before it sleeps: where it can,
/// by receiving from the connection itself, so that no other thread need be woken. Benchmark: tests/Python/bench.py.
/// One a thread.
/// </summary>
internal sealed class Looker
{
    /// <summary>
    /// As long as a small call takes over shared memory or a local network; to be woken from sleep takes a third of it.
    /// </summary>
    private static readonly TimeSpan Longest = TimeSpan.FromMicroseconds(60);

    [ThreadStatic]
    private static Looker? _own;

    private readonly Queue<Task> _steps = new();
    private bool _isAsking;
    private ReceivePump? _asked;

    private Looker()
    {
    }

    /// <summary>The calling thread makes a call that it will look for; <see cref="End"/> follows.</summary>
    public static Looker Begin()
    {
        var looker = _own ??= new Looker();
        looker._isAsking = true;
        return looker;
    }

    /// <summary>The calling thread has sent on a connection; some thread receives from it from now on.</summary>
    public static void Sent(ReceivePump pump)
    {
        if (_own is not { _isAsking: true } looker)
        {
            pump.Resume();
        }
        else if (looker._asked != pump)
        {
            looker._asked?.Resume();
            looker._asked = pump;
        }
    }

    /// <summary>Looks for the end of a call that this thread has begun.</summary>
    public void Look(Task call)
    {
        if (_asked is null || call.IsCompleted)
            return;
        long begun = TimeProvider.System.GetTimestamp();
        var spin = default(SpinWait);
        ReceiverScheduler.Adopt(_steps);
        try
        {
            while (_asked is { } pump && !IsOver(call, begun))
                LookAt(pump, call, begun, ref spin);
        }
        finally
        {
            ReceiverScheduler.TakeSteps();
            ReceiverScheduler.Adopt(null);
        }
    }

    /// <summary>It looks no longer.</summary>
    public void End()
    {
        _isAsking = false;
        var asked = _asked;
        _asked = null;
        asked?.Resume();
    }

    private static bool IsOver(Task call, long begun) =>
        call.IsCompleted || TimeProvider.System.GetElapsedTime(begun) >= Longest;

    /// <summary>Until it is over, or the call has gone on to another connection.</summary>
    private void LookAt(ReceivePump pump, Task call, long begun, ref SpinWait spin)
    {
        bool has = false;
        pump.BeginLook();
        try
        {
            while (_asked == pump && !IsOver(call, begun))
            {
                has = has || pump.TryTake();
                if (!has || !pump.TryReceive(ref has))
                    spin.SpinOnce(sleep1Threshold: -1);
            }
        }
        finally
        {
            pump.EndLook(has);
        }
    }
}
