// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Transfer.Shm;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// The views this process has at other processes of its host. A closed one is told to its holder with the next view
/// that is opened there, or, when none is, some milliseconds later; nobody waits for that. Thread-safe.
/// </summary>
internal sealed class OpenViews(FlowContext context)
{
    private static readonly TimeSpan Linger = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(1);

    private readonly ConditionalWeakTable<ShmMapping, ClosedAt> _holders = [];

    /// <summary>
    /// Views of a mapping that are closed and not told yet; whoever takes them tells them, or returns them.
    /// </summary>
    public ulong[] TakeClosed(ShmMapping mapping) =>
        _holders.TryGetValue(mapping, out var holder) ? holder.Take() : [];

    /// <summary>
    /// A view is closed, or was given up before it was known to be open; its hold of the mapping ends.
    /// </summary>
    public void Close(NodeRecord node, ShmMapping mapping, ulong view) => Close(node, mapping, [view]);

    /// <summary>The same for views whose hold has ended.</summary>
    public void Return(NodeRecord node, ShmMapping mapping, ulong[] views)
    {
        if (views.Length > 0 && mapping.TryHold())
            Close(node, mapping, views);
    }

    private void Close(NodeRecord node, ShmMapping mapping, ulong[] views)
    {
        var holder = _holders.GetValue(mapping, static _ => new ClosedAt());
        if (holder.Add(views))
            _ = context.Runtime.Start(() => TellAsync(node, mapping, holder));
        else
            mapping.Release();
    }

    /// <summary>Tells a holder of closed views until there are none left. Holds the mapping meanwhile.</summary>
    private async Task TellAsync(NodeRecord node, ShmMapping mapping, ClosedAt holder)
    {
        var pause = Linger;
        while (true)
        {
            await context.Runtime.Delay(pause, CancellationToken.None);
            var closed = holder.Take();
            if (closed.Length > 0)
            {
                var told = await context.Calls.ViewAsync(node,
                    new ViewExtentRequest(mapping.Client, 0, 0, 0, 0, closed), Limit, CancellationToken.None);

                // A holder that does not know us, or has gone, keeps nothing for us; if it is us who are closed, the
                // end of the mapping tells it all.
                bool gone = told.Error is { Stage: "view" } or { Code: MeshErrorCode.Closed }
                    || context.View.FindIncarnation(node.Incarnation) is null;
                if (!told.Succeeded && !gone)
                    holder.Add(closed);
                pause = told.Succeeded || gone ? Linger : Limit;
            }

            if (holder.TryEnd())
                break;
        }

        mapping.Release();
    }

    /// <summary>Closed views of one holder, and whether somebody is on the way to tell them.</summary>
    private sealed class ClosedAt
    {
        private readonly Lock _gate = new();
        private readonly List<ulong> _views = [];
        private bool _telling;

        /// <summary>Adds views; true when the caller has to start telling.</summary>
        public bool Add(ulong[] views)
        {
            lock (_gate)
            {
                _views.AddRange(views);
                bool start = !_telling;
                _telling = true;
                return start;
            }
        }

        /// <summary>Takes out as many as a call carries.</summary>
        public ulong[] Take()
        {
            lock (_gate)
            {
                int count = Math.Min(_views.Count, ClosedViews.Most);
                if (count == 0)
                    return [];
                ulong[] taken = [.. _views[^count..]];
                _views.RemoveRange(_views.Count - count, count);
                return taken;
            }
        }

        /// <summary>Ends the telling, unless there is something left to tell.</summary>
        public bool TryEnd()
        {
            lock (_gate)
            {
                _telling = _views.Count > 0;
                return !_telling;
            }
        }
    }
}
