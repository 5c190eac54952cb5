// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Tests.Transfer;
using Mooncake.Mesh.Transfer;
using Mooncake.Mesh.Transfer.Tcp;
using Mooncake.Mesh.Verbs.Cards;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Memory;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Tests.Devices;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Tests.Transfers;

/// <summary>
/// Two engines over the same devices, as in two processes, each with memory that the other may read and write. The near
/// one makes the queue pairs, and moves bytes between the two memories.
/// </summary>
internal sealed class EnginePair : IConnector, IAsyncDisposable
{
    private readonly RdmaPeer _caller;

    private EnginePair(RdmaEngine near, RdmaEngine far, int bytes, LogLines log)
    {
        Near = near;
        Far = far;
        Log = log;
        NearBytes = new GuardedMemory(bytes);
        FarBytes = new GuardedMemory(bytes);
        Peer = near.AddPeer(this);
        _caller = far.AddPeer(null);
    }

    internal RdmaEngine Near { get; }

    internal RdmaEngine Far { get; }

    internal LogLines Log { get; }

    internal GuardedMemory NearBytes { get; }

    internal GuardedMemory FarBytes { get; }

    internal LocalMemory NearMemory { get; private set; } = null!;

    internal LocalMemory FarMemory { get; private set; } = null!;

    /// <summary>The far engine, as the near one sees it.</summary>
    internal RdmaPeer Peer { get; }

    public int RemoteCards => Far.Rails.Count;

    internal static async Task<EnginePair> OpenAsync(int bytes, RdmaOptions? options = null)
    {
        var log = new LogLines();
        var runtime = new MeshRuntime { Network = new SocketNetwork(), Log = log };
        var near = RdmaEngine.Open(options ?? new RdmaOptions(), runtime);
        Assert.True(near.Succeeded, near.Error?.Message);
        var far = RdmaEngine.Open(options ?? new RdmaOptions(), runtime);
        Assert.True(far.Succeeded, far.Error?.Message);
        var pair = new EnginePair(near.Value, far.Value, bytes, log);
        const MemoryAccess All = MemoryAccess.LocalWrite | MemoryAccess.RemoteRead | MemoryAccess.RemoteWrite;
        pair.NearMemory = (await near.Value.RegisterAsync(pair.NearBytes.Range, All)).Value;
        pair.FarMemory = (await far.Value.RegisterAsync(pair.FarBytes.Range, All)).Value;
        return pair;
    }

    /// <summary>Waits until something is so; fails after a time.</summary>
    internal static async Task UntilAsync(Func<bool> isSo, string what, TimeSpan limit)
    {
        long start = Stopwatch.GetTimestamp();
        while (!isSo())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < limit, $"not within {limit.TotalSeconds:0} s: {what}");
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>Slices at the same place in both memories: the even ones to be read, the odd ones written.</summary>
    internal RdmaBatch Mixed(int firstSlice, int slices, int sliceBytes)
    {
        var requests = new RdmaRequest[slices];
        for (int i = 0; i < slices; i++)
        {
            int slice = firstSlice + i;
            requests[i] = Request(slice % 2 == 0 ? WorkKind.Read : WorkKind.Write, (long)slice * sliceBytes,
                sliceBytes);
        }

        return new RdmaBatch(requests, sliceBytes);
    }

    /// <summary>The same place in both memories, read or written.</summary>
    internal RdmaRequest Request(WorkKind kind, long offset, long length) => new(kind,
        NearBytes.Range.Address + (nint)offset, NearMemory, new RemoteMemory(FarMemory.Region, 0), offset, length);

    /// <summary>Bytes that each of the near engine's cards has carried.</summary>
    internal long[] Carried() => [.. Near.Counts().Select(count => count.Bytes)];

    public async Task<Endpoint?> ConnectAsync(RdmaPeer peer, int card, int remoteCard, Attempt attempt)
    {
        (Endpoint Endpoint, PairEnd End)? near = null, far = null;
        try
        {
            near = await Task.Run(() => Near.TryCreate(peer, card, remoteCard));
            far = near is null ? null : Far.TryCreate(_caller, remoteCard, card);
            if (near is not var (ours, ourEnd) || far is not var (theirs, theirEnd))
                return null;
            Far.Connect(theirs, theirEnd, ourEnd);
            _caller.Install(theirs);
            far = null;
            if (!attempt.TryConnect(() => Near.Connect(ours, ourEnd, theirEnd)))
                return null;
            ours.RemoteKeys = new uint[FarMemory.Parts];
            FarMemory.CopyKeys(remoteCard, ours.RemoteKeys);
            near = null;
            return ours;
        }
        catch (Exception e) when (e is VerbsException or ObjectDisposedException)
        {
            Log.LogInformation("pair_not_made card={Card} to={To} reason={Reason}", card, remoteCard, e.Message);
            return null;
        }
        finally
        {
            far?.Endpoint.Life.Destroy(far.Value.Endpoint);
            near?.Endpoint.Life.Destroy(near.Value.Endpoint);
        }
    }

    public async ValueTask DisposeAsync()
    {
        CardLife[] lives = [.. LivesOf(Near), .. LivesOf(Far)];
        await Near.DisposeAsync();
        await Far.DisposeAsync();
        NearBytes.AssertGuards();
        FarBytes.AssertGuards();
        NearBytes.Dispose();
        FarBytes.Dispose();
        foreach (var life in lives)
        {
            Assert.Equal(0, life.Device.Counts.Alive);
            Assert.Equal(0, life.Device.Counts.Refused);
        }
    }

    private static IEnumerable<CardLife> LivesOf(RdmaEngine engine)
    {
        for (int i = 0; i < engine.Cards.Count; i++)
        {
            if (engine.Cards.LifeOf(i) is { } life)
                yield return life;
        }
    }
}
