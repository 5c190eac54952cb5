// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.InteropServices;
using Mooncake.Mesh.Transfer.Interop;

namespace Mooncake.Mesh;

/// <summary>
/// What one thread waits on and others set; each thread has one, for whatever it waits for. In a program compiled
/// ahead of time each object that was once waited for, or pulsed, by Monitor leaves some 40 bytes behind for good, and
/// so does each task that was waited for: what is made by the million is waited for by this. A wait may end without a
/// cause, so it is for a loop over a condition.
/// </summary>
internal sealed unsafe class ThreadSignal
{
    [ThreadStatic]
    private static ThreadSignal? _own;

    /// <summary>
    /// What the kernel looks at while the thread sleeps; 1: set. Not on the heap of pinned objects: that is collected
    /// with all of the heap alone, and a host's threads come and go.
    /// </summary>
    private readonly int* _word = (int*)NativeMemory.AllocZeroed(sizeof(int));

    private ThreadSignal() => Set = () =>
    {
        if (Interlocked.Exchange(ref *_word, 1) == 0)
            LibC.FutexWake(_word, 1);
        // Whoever sets a signal may be the last who knows it.
        GC.KeepAlive(this);
    };

    ~ThreadSignal() => NativeMemory.Free(_word);

    /// <summary>The calling thread's.</summary>
    public static ThreadSignal Own => _own ??= new ThreadSignal();

    /// <summary>Ends the wait of its thread, or the next one.</summary>
    public Action Set { get; }

    /// <summary>The next one of a <see cref="ThreadSignals"/>.</summary>
    public ThreadSignal? Next { get; set; }

    /// <summary>Waits until it is set, and no longer than the limit; whether it was.</summary>
    public bool Wait(TimeSpan limit)
    {
        if (Interlocked.Exchange(ref *_word, 0) == 1)
            return true;
        if (limit == Timeout.InfiniteTimeSpan || limit > TimeSpan.Zero)
            LibC.FutexWait(_word, 0, limit);
        bool set = Interlocked.Exchange(ref *_word, 0) == 1;
        GC.KeepAlive(this);
        return set;
    }
}

/// <summary>
/// The threads that wait for one thing, the last to come first. Under a lock of its user; a thread is in one alone, and
/// in none when its wait is over.
/// </summary>
internal struct ThreadSignals
{
    private ThreadSignal? _first;

    /// <summary>Notes that a thread waits, which waits for nothing else.</summary>
    public void Add(ThreadSignal signal)
    {
        Remove(signal);
        signal.Next = _first;
        _first = signal;
    }

    /// <summary>It waits no longer.</summary>
    public void Remove(ThreadSignal signal)
    {
        if (_first == signal)
            _first = signal.Next;
        for (var each = _first; each is not null; each = each.Next)
        {
            if (each.Next == signal)
                each.Next = signal.Next;
        }

        signal.Next = null;
    }

    /// <summary>Whether a thread waits.</summary>
    public readonly bool Any => _first is not null;

    /// <summary>
    /// Takes the signal of one thread, if one waits; to be set once the lock is left. Set under it, the thread would
    /// wake to find the lock taken, and a lock that is waited for leaves an event of the system to be collected.
    /// </summary>
    public ThreadSignal? TakeOne()
    {
        var signal = _first;
        if (signal is not null)
            (_first, signal.Next) = (signal.Next, null);
        return signal;
    }

    /// <summary>Has all of them go on.</summary>
    public void SetAll()
    {
        while (TakeOne() is { } signal)
            signal.Set();
    }
}
