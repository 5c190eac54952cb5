// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
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

    /// <summary>Pinned: the kernel looks at it while the thread sleeps. 1: set.</summary>
    private readonly int[] _word = GC.AllocateArray<int>(1, pinned: true);
    private readonly int* _address;

    private ThreadSignal()
    {
        _address = (int*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_word));
        Set = () =>
        {
            if (Interlocked.Exchange(ref _word[0], 1) == 0)
                LibC.FutexWake(_address, 1);
        };
    }

    /// <summary>The calling thread's.</summary>
    public static ThreadSignal Own => _own ??= new ThreadSignal();

    /// <summary>Ends the wait of its thread, or the next one.</summary>
    public Action Set { get; }

    /// <summary>The next one of a <see cref="ThreadSignals"/>.</summary>
    public ThreadSignal? Next { get; set; }

    /// <summary>Waits until it is set, and no longer than the limit; whether it was.</summary>
    public bool Wait(TimeSpan limit)
    {
        if (Interlocked.Exchange(ref _word[0], 0) == 1)
            return true;
        if (limit == Timeout.InfiniteTimeSpan || limit > TimeSpan.Zero)
            LibC.FutexWait(_address, 0, limit);
        return Interlocked.Exchange(ref _word[0], 0) == 1;
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

    /// <summary>Has one thread go on, if one waits.</summary>
    public void SetOne()
    {
        if (_first is not { } signal)
            return;
        _first = signal.Next;
        signal.Next = null;
        signal.Set();
    }

    /// <summary>Has all of them go on.</summary>
    public void SetAll()
    {
        while (_first is not null)
            SetOne();
    }
}
