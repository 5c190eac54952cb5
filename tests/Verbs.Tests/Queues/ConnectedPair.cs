// SPDX-License-Identifier: Apache-2.0

using System.Diagnostics;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Devices;
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Tests.Devices;

namespace Mooncake.Mesh.Verbs.Tests.Queues;

/// <summary>One end: a device, a completion queue, a queue pair, and memory that both may read and write.</summary>
internal sealed class End : IDisposable
{
    private const byte PortNumber = 1;

    internal End(int place, QueuePairShape shape, int bytes)
    {
        Device = RealDevices.Open(place);
        Buffer = new NativeBuffer((nuint)bytes);
        Region = Device.Register(
            Buffer.Address, bytes, MemoryAccess.LocalWrite | MemoryAccess.RemoteRead | MemoryAccess.RemoteWrite);
        Completions = Device.CreateCompletionQueue(256);
        Port = Device.Port(PortNumber);
        Gid = Device.Gids(PortNumber)[^1];
        QueuePair = Device.CreateQueuePair(Completions, shape);
    }

    internal VerbsDevice Device { get; }

    internal NativeBuffer Buffer { get; }

    internal MemoryRegion Region { get; }

    internal CompletionQueue Completions { get; }

    internal PortInfo Port { get; }

    internal GidEntry Gid { get; }

    internal QueuePair QueuePair { get; private set; }

    /// <summary>The interface below the device, as in "eth0".</summary>
    internal string Interface => System.IO.Directory.GetDirectories("/sys/class/net").First(folder =>
        File.ReadAllText(Path.Combine(folder, "ifindex")).Trim() == $"{Gid.InterfaceIndex}").Split('/')[^1];

    internal RemoteQueuePair Description(uint psn) => new(QueuePair.Number, psn, Gid.Gid, Port.Lid);

    public void Dispose()
    {
        QueuePair.Dispose();
        Completions.Dispose();
        Region.Dispose();
        Device.Dispose();
        Buffer.Dispose();
        Assert.Equal(0, Device.Counts.Alive);
        Assert.Equal(0, Device.Counts.Refused);
    }

    internal void Replace(QueuePairShape shape)
    {
        QueuePair.Dispose();
        QueuePair = Device.CreateQueuePair(Completions, shape);
    }

    internal void Connect(End peer, uint psn, uint peerPsn)
    {
        const byte Timeout = 12; // 17 ms
        bool ethernet = Port.LinkLayer == LinkLayer.Ethernet;
        int mtu = Math.Min(Port.ActiveMtu, peer.Port.ActiveMtu);
        byte reads = Math.Min(Device.Limits.MaxRdAtomic, (byte)16);
        QueuePair.Initialize(PortNumber, 0, MemoryAccess.RemoteRead | MemoryAccess.RemoteWrite);
        QueuePair.ReadyToReceive(
            peer.Description(peerPsn),
            new PathSettings(mtu, ethernet, (byte)Gid.Index, 64, 0, 0, MaxRdAtomic: reads, MinRnrTimer: 12));
        QueuePair.ReadyToSend(psn, Timeout, retryCount: 3, rnrRetry: 3, maxRdAtomic: reads);
    }

    /// <summary>Waits for that many completions, 10 s at most.</summary>
    internal WorkCompletion[] Await(int count)
    {
        var found = new WorkCompletion[count];
        int have = 0;
        long start = Stopwatch.GetTimestamp();
        while (have < count)
        {
            have += Completions.Poll(found.AsSpan(have));
            Assert.True(Stopwatch.GetElapsedTime(start).TotalSeconds < 10, $"{have} of {count} completions in 10 s");
        }

        return found;
    }

    internal LocalPiece Piece(int offset, int length) =>
        new(Region.Address + (ulong)offset, length, Region.LocalKey);

    /// <summary>A request for memory of the peer, with one piece of ours at another place.</summary>
    internal WorkRequest Request(
        WorkKind kind, ulong id, int ours, End peer, int theirs, int length, WorkFlags flags = WorkFlags.Signaled) =>
        new()
        {
            WorkId = id,
            Kind = kind,
            Flags = flags,
            Local = Piece(ours, length),
            RemoteAddress = peer.Region.Address + (ulong)theirs,
            RemoteKey = peer.Region.RemoteKey,
        };

    /// <summary>Posts requests that must all be taken.</summary>
    internal void Post(params ReadOnlySpan<WorkRequest> requests)
    {
        int taken = QueuePair.Post(requests, out int errno);
        Assert.Equal((requests.Length, 0), (taken, errno));
    }
}

/// <summary>Two devices of this host, connected to each other.</summary>
internal sealed class ConnectedPair : IDisposable
{
    private readonly QueuePairShape _shape;

    internal ConnectedPair(int bytes = 1 << 16, QueuePairShape? shape = null)
    {
        _shape = shape ?? new QueuePairShape(SendDepth: 64, MaxPieces: 8, InlineBytes: 64);
        Near = new End(0, _shape, bytes);
        try
        {
            Far = new End(1, _shape, bytes);
        }
        catch (Exception)
        {
            Near.Dispose();
            throw;
        }

        Connect();
    }

    internal End Near { get; }

    internal End Far { get; }

    public void Dispose()
    {
        Near.Dispose();
        Far.Dispose();
    }

    /// <summary>Puts new queue pairs in the place of the old ones.</summary>
    internal void Replace()
    {
        Near.Replace(_shape);
        Far.Replace(_shape);
        Connect();
    }

    private void Connect()
    {
        uint near = (uint)Random.Shared.Next(1 << 24), far = (uint)Random.Shared.Next(1 << 24);
        Near.Connect(Far, near, far);
        Far.Connect(Near, far, near);
    }
}
