// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Flow;

namespace Mooncake.Mesh.Client;

/// <summary>Puts many values at once, a bounded number at a time; of a key named twice the first value wins.</summary>
internal static class BatchPut
{
    private const int AtOnce = 32;

    public static async Task<MeshResult<PutOutcome>[]> RunAsync(MeshOperations operations,
        IReadOnlyList<MeshKey> keys, IReadOnlyList<ReadOnlyMemory<byte>> values, PutOptions? options,
        CancellationToken cancel)
    {
        var results = new MeshResult<PutOutcome>[keys.Count];
        using var gate = new SemaphoreSlim(AtOnce);
        var firsts = new Dictionary<MeshKey, int>();
        var puts = new List<Task>(keys.Count);
        var repeats = new List<int>();
        for (int i = 0; i < keys.Count; i++)
        {
            if (keys[i].Validate() is { } invalid)
                results[i] = invalid;
            else if (firsts.TryAdd(keys[i], i))
                puts.Add(PutAsync(i));
            else
                repeats.Add(i);
        }

        await Task.WhenAll(puts);
        foreach (int i in repeats)
        {
            var first = results[firsts[keys[i]]];
            results[i] = first.Succeeded ? first.Value with { Existed = true, Replicas = 0 } : first.Error!;
        }

        return results;

        async Task PutAsync(int index)
        {
            // Not to be cancelled: those in front end at once then, and each position needs its result.
            await gate.WaitAsync(CancellationToken.None);
            try
            {
                results[index] = await operations.PutAsync(keys[index], values[index], options, cancel);
            }
            finally
            {
                gate.Release();
            }
        }
    }
}
