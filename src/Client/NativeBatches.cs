// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Client;

/// <summary>
/// Batches over native memory, which must stay in place until the task ends. One result per position, in order; a fault
/// of one position is no other's.
/// </summary>
public static class NativeBatches
{
    /// <summary>Removals of one batch under way at once.</summary>
    private const int RemovalsAtOnce = 64;

    /// <summary>Stores many values at once, each in one piece.</summary>
    public static Task<MeshResult<PutOutcome>[]> TryPutBatchAsync(this MeshClient client, IReadOnlyList<MeshKey> keys,
        IReadOnlyList<NativeRange> values, PutOptions? options = null, CancellationToken cancel = default)
    {
        CheckLengths(keys.Count, values.Count, nameof(values));
        return BatchPut.RunAsync(keys, options is { Replace: true },
            i => client.Operations.PutAsync(keys[i], values[i], options, cancel));
    }

    /// <summary>Stores many values at once, each in pieces, with options of its own.</summary>
    /// <param name="client">The client.</param>
    /// <param name="keys">Their keys.</param>
    /// <param name="pieces">The pieces of each value, at most 4,096.</param>
    /// <param name="options">What each asks for; all or none of them replace.</param>
    /// <param name="cancel">Ends the call.</param>
    public static Task<MeshResult<PutOutcome>[]> TryPutBatchAsync(this MeshClient client, IReadOnlyList<MeshKey> keys,
        IReadOnlyList<IReadOnlyList<NativeRange>> pieces, Func<int, PutOptions> options,
        CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        CheckLengths(keys.Count, pieces.Count, nameof(pieces));
        return BatchPut.RunAsync(keys, keys.Count > 0 && options(0).Replace,
            i => client.Operations.PutAsync(keys[i], pieces[i], options(i), cancel));
    }

    /// <summary>Gets many objects, each into one piece; the sizes.</summary>
    public static Task<MeshResult<long>[]> TryGetBatchAsync(this MeshClient client, IReadOnlyList<MeshKey> keys,
        IReadOnlyList<NativeRange> destinations, GetOptions? options = null, CancellationToken cancel = default)
    {
        CheckLengths(keys.Count, destinations.Count, nameof(destinations));
        var targets = new IGetTarget[keys.Count];
        for (int i = 0; i < targets.Length; i++)
            targets[i] = new RangeTarget(destinations[i]);
        return client.Operations.GetManyAsync(keys, targets, options, cancel);
    }

    /// <summary>
    /// Gets many objects, each into pieces of which there are at most 4,096; the sizes. No piece holds a byte of an
    /// object that was not verified whole.
    /// </summary>
    public static async Task<MeshResult<long>[]> TryGetBatchAsync(this MeshClient client, IReadOnlyList<MeshKey> keys,
        IReadOnlyList<IReadOnlyList<NativeRange>> pieces, GetOptions? options = null,
        CancellationToken cancel = default)
    {
        CheckLengths(keys.Count, pieces.Count, nameof(pieces));
        var targets = new IGetTarget[keys.Count];
        var scratch = new ScratchMemory?[keys.Count];
        try
        {
            for (int i = 0; i < targets.Length; i++)
            {
                if (pieces[i].Count == 1)
                    targets[i] = new RangeTarget(pieces[i][0]);
                else
                    targets[i] = client.Operations.TargetOf(pieces[i], scratch[i] = new ScratchMemory(), options);
            }

            var sizes = await client.Operations.GetManyAsync(keys, targets, options, cancel);
            for (int i = 0; i < sizes.Length; i++)
            {
                if (scratch[i] is { } whole && sizes[i].Succeeded && targets[i] is PiecesTarget)
                    Pieces.Scatter(whole.Range, sizes[i].Value, pieces[i]);
            }

            return sizes;
        }
        finally
        {
            foreach (var memory in scratch)
                memory?.Dispose();
        }
    }

    /// <summary>Gets parts of many objects; the lengths.</summary>
    public static Task<MeshResult<long>[]> TryGetRangeBatchAsync(this MeshClient client,
        IReadOnlyList<ObjectRange> ranges, IReadOnlyList<NativeRange> destinations, GetOptions? options = null,
        CancellationToken cancel = default)
    {
        CheckLengths(ranges.Count, destinations.Count, nameof(destinations));
        return client.Operations.GetRangesAsync(ranges, destinations, options, cancel);
    }

    /// <summary>Removes many objects; false where there was none.</summary>
    public static async Task<MeshResult<bool>[]> TryRemoveBatchAsync(this MeshClient client,
        IReadOnlyList<MeshKey> keys, CancellationToken cancel = default)
    {
        var results = new MeshResult<bool>[keys.Count];
        using var gate = new SemaphoreSlim(RemovalsAtOnce);
        var removals = new Task[keys.Count];
        for (int i = 0; i < removals.Length; i++)
            removals[i] = RemoveAsync(i);
        await Task.WhenAll(removals);
        return results;

        async Task RemoveAsync(int index)
        {
            // Not to be cancelled: those in front end at once then, and each position needs its result.
            await gate.WaitAsync(CancellationToken.None);
            try
            {
                results[index] = keys[index].Validate() is { } invalid
                    ? invalid
                    : await client.TryRemoveAsync(keys[index], cancel);
            }
            finally
            {
                gate.Release();
            }
        }
    }

    private static void CheckLengths(int keys, int others, string name)
    {
        if (keys != others)
            throw new ArgumentException($"{others} entries for {keys} keys; the lists must be of equal length", name);
    }
}

/// <summary>A get into native memory that is made once the size is known.</summary>
internal sealed class NewMemoryTarget(Func<long, nint> allocate, Action<nint> free) : IGetTarget, IDisposable
{
    /// <summary>The memory; length 0 before there is any, or once it was taken.</summary>
    public NativeRange Range { get; private set; }

    /// <inheritdoc/>
    public MeshResult<NativeRange> Prepare(long size)
    {
        if (Range.Address != 0 && Range.Length == size)
            return Range;
        Dispose();
        nint address = allocate(size);
        if (address == 0)
            return new MeshError(MeshErrorCode.System, "get", $"no memory of {size} bytes for the object");
        Range = new NativeRange(address, size);
        return Range;
    }

    /// <summary>Hands the memory over.</summary>
    public NativeRange Take()
    {
        var taken = Range;
        Range = default;
        return taken;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Range.Address != 0)
            free(Range.Address);
        Range = default;
    }
}
