// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Lists objects, at the caller: one page of every holder at a time, merged by key hash, so that a key with several
/// copies comes once and nothing but a page a node is kept.
/// </summary>
internal static class ListOperation
{
    /// <summary>Every object whose key starts with <paramref name="prefix"/>, ordered by key hash.</summary>
    public static async IAsyncEnumerable<MeshResult<ListedObject>> RunAsync(FlowContext context, byte[] prefix,
        TimeSpan limit, [EnumeratorCancellation] CancellationToken cancel)
    {
        var sources = new List<Source>();
        foreach (var node in context.View.Members)
            sources.Add(new Source(node));
        var same = new List<(KeyedRecord Item, string NodeId)>();
        while (true)
        {
            foreach (var source in sources)
            {
                if (await source.FillAsync(context, prefix, limit, cancel) is { } error)
                    yield return error;
            }

            ulong? least = null;
            foreach (var source in sources)
                least = source.Hash is { } hash && (least is null || hash < least) ? hash : least;
            if (least is null)
                yield break;
            same.Clear();
            foreach (var source in sources)
                source.Take(least.Value, same);
            foreach (var listed in Merge(same))
                yield return listed;
        }
    }

    /// <summary>Objects of one hash, each key once.</summary>
    private static List<ListedObject> Merge(List<(KeyedRecord Item, string NodeId)> same)
    {
        var merged = new List<ListedObject>(1);
        foreach (var (item, nodeId) in same)
        {
            int at = merged.FindIndex(m => m.Key == item.Key);
            if (at < 0)
                merged.Add(new ListedObject(item.Key, item.Record.Size, [nodeId]));
            else
                merged[at] = merged[at] with { Nodes = [.. merged[at].Nodes, nodeId] };
        }

        return merged;
    }

    /// <summary>One holder's listing, a page of which is here.</summary>
    private sealed class Source(NodeRecord node)
    {
        private KeyedRecord[] _page = [];
        private int _at;
        private ulong _next;
        private bool _ended;

        /// <summary>Hash of its next object, or null at its end.</summary>
        public ulong? Hash => _at < _page.Length ? _page[_at].Key.Hash : null;

        /// <summary>Fetches the next page when this one is used up; why that failed, and it ended.</summary>
        public async Task<MeshError?> FillAsync(FlowContext context, byte[] prefix, TimeSpan limit,
            CancellationToken cancel)
        {
            while (_at == _page.Length && !_ended)
            {
                var request = new HolderListRequest(new SlotSet([]), 0, _next, prefix);
                var page = await context.AskAsync(limit,
                    left => context.Calls.ListAsync(node, request, left, cancel), cancel);
                _ended = !page.Succeeded || page.Value.NextHash <= _next;
                if (!page.Succeeded)
                    return page.Error! with { Message = $"{node.NodeId}: {page.Error!.Message}" };
                _page = page.Value.Records;
                _at = 0;
                _next = page.Value.NextHash;
            }

            return null;
        }

        /// <summary>Takes the objects of a hash off the front; they are all on one page.</summary>
        public void Take(ulong hash, List<(KeyedRecord Item, string NodeId)> into)
        {
            for (; Hash == hash; _at++)
                into.Add((_page[_at], node.NodeId));
        }
    }
}
