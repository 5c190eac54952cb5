// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Client;

/// <summary>
/// Puts many values at once, a bounded number at a time; of a key named twice the first value wins, or the last when
/// values replace.
/// </summary>
internal static class BatchPut
{
    private const int AtOnce = 32;

    /// <param name="keys">The keys, of which some may be illegal.</param>
    /// <param name="replace">Whether the values replace those that are there.</param>
    /// <param name="put">Puts the value of a position.</param>
    public static async Task<MeshResult<PutOutcome>[]> RunAsync(IReadOnlyList<MeshKey> keys, bool replace,
        Func<int, Task<MeshResult<PutOutcome>>> put)
    {
        var results = new MeshResult<PutOutcome>[keys.Count];
        using var gate = new SemaphoreSlim(AtOnce);
        var winners = new Dictionary<MeshKey, int>();
        var puts = new List<Task>(keys.Count);
        var repeats = new List<int>();
        for (int turn = 0; turn < keys.Count; turn++)
        {
            int i = replace ? keys.Count - 1 - turn : turn;
            if (keys[i].Validate() is { } invalid)
                results[i] = invalid;
            else if (winners.TryAdd(keys[i], i))
                puts.Add(PutAsync(i));
            else
                repeats.Add(i);
        }

        await Task.WhenAll(puts);
        foreach (int i in repeats)
        {
            var winner = results[winners[keys[i]]];
            results[i] = winner.Succeeded ? winner.Value with { Existed = !replace, Replicas = 0 } : winner.Error!;
        }

        return results;

        async Task PutAsync(int index)
        {
            // Not to be cancelled: those in front end at once then, and each position needs its result.
            await gate.WaitAsync(CancellationToken.None);
            try
            {
                results[index] = await put(index);
            }
            finally
            {
                gate.Release();
            }
        }
    }
}
