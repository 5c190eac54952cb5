// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>Counts the calls under way; once closed it lets none in, and can be waited for. Thread-safe.</summary>
internal sealed class CallGate
{
    private const long Closed = 1L << 62;

    private readonly ManualResetEventSlim _drained = new();
    private long _state;

    /// <summary>Begins a call; false: the gate is closed.</summary>
    public bool TryEnter()
    {
        if ((Interlocked.Increment(ref _state) & Closed) == 0)
            return true;
        Leave();
        return false;
    }

    /// <summary>Ends a call.</summary>
    public void Leave()
    {
        if (Interlocked.Decrement(ref _state) == Closed)
            _drained.Set();
    }

    /// <summary>Closes it; false when it was closed.</summary>
    public bool Close() => (Interlocked.Or(ref _state, Closed) & Closed) == 0;

    /// <summary>Waits until the calls that were let in have ended; the gate is closed.</summary>
    public void Drain()
    {
        // Whoever is turned away is counted for a moment too, and says so when it leaves.
        if (Volatile.Read(ref _state) != Closed)
            _drained.Wait();
    }
}
