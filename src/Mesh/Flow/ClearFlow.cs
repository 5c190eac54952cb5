// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// What a node does once everything was removed (rule A9): its owner part forgets the records and its holder part drops
/// the objects that are older, page by page in the background. Thread-safe.
/// </summary>
internal sealed class ClearFlow(FlowContext context, ObjectStore store)
{
    private const int PageObjects = 256;
    private readonly Lock _lock = new();
    private long _known;
    private long _done;
    private bool _running;

    /// <summary>How often everything was removed, as far as this node has heard.</summary>
    public long Known => Volatile.Read(ref _known);

    /// <summary>The last removal of everything that is done here.</summary>
    public long Done => Volatile.Read(ref _done);

    /// <summary>Has the owner part forget; set once there is one.</summary>
    public Action<long>? OnLearnt { get; set; }

    /// <summary>Notes that everything was removed for the <paramref name="cleared"/>th time.</summary>
    public void Learn(long cleared)
    {
        if (cleared <= Known)
            return;
        // Before the counter: who sees it must find that nothing older is accepted any more.
        OnLearnt?.Invoke(cleared);
        store.Clear(cleared);
        lock (_lock)
        {
            _known = Math.Max(_known, cleared);
            if (_running)
                return;
            _running = true;
        }

        _ = context.Runtime.Start(DropAsync);
    }

    private async Task DropAsync()
    {
        while (true)
        {
            long target = Known;
            ulong? from = 0;
            while (from is { } start)
            {
                from = store.DropCleared(start, PageObjects);
                await Task.Yield();
            }

            lock (_lock)
            {
                _done = target;
                if (_known > target)
                    continue;
                _running = false;
                return;
            }
        }
    }
}
