// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Node.Replay;

/// <summary>Replays one request after another. Not thread-safe: each worker of a run has its own.</summary>
internal sealed class ReplayWorker(
    IBlockStore store, int blockSize, int batch, TimeProvider time, ReplayStatistics statistics)
{
    private readonly byte[] _scratch = new byte[blockSize];
    private readonly byte[][] _values = [.. Enumerable.Range(0, batch).Select(_ => new byte[blockSize])];

    /// <summary>Replays a request; how many have been, by all workers.</summary>
    internal async Task<long> RequestAsync(long[] blocks, CancellationToken cancel)
    {
        statistics.Begin();
        var found = new Dictionary<long, bool>(blocks.Length);
        List<long> chain = [.. blocks.Where(id => found.TryAdd(id, false))];
        List<long> looked = await MatchAsync(chain, found, cancel);
        int prefix = Array.FindIndex(blocks, id => !found[id]) is var gap && gap < 0 ? blocks.Length : gap;
        foreach (long id in chain)
            found[id] = false;

        int hits = await GetAsync(looked, found, cancel);
        await PutAsync([.. chain.Where(id => !found[id])], cancel);

        // A block named twice is looked at twice: the second time it is there, if the mesh had room for it.
        var seen = new HashSet<long>(chain.Count);
        hits += await GetAsync([.. blocks.Where(id => !seen.Add(id))], found, cancel);
        return statistics.End(blocks.Length, hits, Math.Min(prefix, hits));
    }

    /// <summary>Marks the blocks that are present; returns those worth a get (all, when the match failed).</summary>
    private async Task<List<long>> MatchAsync(
        List<long> chain, Dictionary<long, bool> found, CancellationToken cancel)
    {
        if (chain.Count == 0)
            return chain;
        long began = time.GetTimestamp();
        MeshResult<PrefixMatch> match = await store.MatchAsync(Keys(chain), cancel);
        statistics.Matched(began, match.Error);
        if (!match.Succeeded)
            return chain;
        for (int i = 0; i < chain.Count; i++)
            found[chain[i]] = match.Value.Present[i];
        return [.. chain.Where(id => found[id])];
    }

    /// <summary>Gets and checks blocks, marks those found; returns how many were.</summary>
    private async Task<int> GetAsync(List<long> ids, Dictionary<long, bool> found, CancellationToken cancel)
    {
        int hits = 0;
        foreach (long[] part in ids.Chunk(batch))
        {
            long began = time.GetTimestamp();
            IReadOnlyList<MeshResult<byte[]>> results = await store.GetAsync(Keys(part), cancel);
            long wrong = 0;
            for (int i = 0; i < part.Length; i++)
            {
                found[part[i]] = results[i].Succeeded;
                if (!results[i].Succeeded)
                    continue;
                hits++;
                wrong += BlockContent.WrongBytes(part[i], results[i].Value, _scratch);
            }

            statistics.Got(began, results, wrong);
        }

        return hits;
    }

    private async Task PutAsync(List<long> ids, CancellationToken cancel)
    {
        foreach (long[] part in ids.Chunk(batch))
        {
            for (int i = 0; i < part.Length; i++)
                BlockContent.Fill(part[i], _values[i]);
            long began = time.GetTimestamp();
            IReadOnlyList<MeshResult<PutOutcome>> results = await store.PutAsync(
                Keys(part), [.. _values.Take(part.Length).Select(value => new ReadOnlyMemory<byte>(value))], cancel);
            statistics.Put(began, results, blockSize);
        }
    }

    private static MeshKey[] Keys(IEnumerable<long> ids) => [.. ids.Select(BlockContent.Key)];
}
