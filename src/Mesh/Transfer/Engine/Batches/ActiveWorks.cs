// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Memory;

namespace Mooncake.Mesh.Transfer.Engine.Batches;

/// <summary>The works of an engine that are not over. Thread-safe.</summary>
internal sealed class ActiveWorks
{
    private readonly Lock _gate = new();
    private readonly HashSet<EngineWork> _works = [];
    private ThreadSignals _closing;
    private bool _closed;

    /// <summary>A work begins; false: the engine is closed, and it must not.</summary>
    public bool TryAdd(EngineWork work)
    {
        lock (_gate)
            return !_closed && _works.Add(work);
    }

    /// <summary>A work is over.</summary>
    public void Remove(EngineWork work)
    {
        lock (_gate)
        {
            if (_works.Remove(work) && _works.Count == 0)
                _closing.SetAll();
        }
    }

    /// <summary>Breaks the works whose sources are in a range.</summary>
    public void Break(RegisteredRegion region)
    {
        var used = new List<EngineWork>();
        lock (_gate)
        {
            foreach (var work in _works)
            {
                if (work.Uses(region))
                    used.Add(work);
            }
        }

        // Not under the lock: a work that is stopped may be over at once.
        foreach (var work in used)
            work.Stop(EntryStatus.Ended);
    }

    /// <summary>Breaks all of them, lets no more begin, and waits until they are over.</summary>
    public void Close()
    {
        EngineWork[] works;
        lock (_gate)
        {
            _closed = true;
            works = [.. _works];
        }

        foreach (var work in works)
            work.Stop(EntryStatus.Ended);
        var signal = ThreadSignal.Own;
        while (true)
        {
            lock (_gate)
            {
                if (_works.Count == 0)
                    return;
                _closing.Add(signal);
            }

            signal.Wait(Timeout.InfiniteTimeSpan);
        }
    }
}
