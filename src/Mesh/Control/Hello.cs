// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>What a connection is for. On the wire: values are fixed, new ones are appended.</summary>
internal enum Lane
{
    /// <summary>Client and holder calls.</summary>
    Client = 0,

    /// <summary>Owner calls and pings between nodes.</summary>
    Owner = 1,

    /// <summary>Bulk bytes, read and written by blocking threads once the handshake is done.</summary>
    Data = 2,

    /// <summary>
    /// Descriptors of shared memory, over a Unix socket; stays open as the sign that the holder lives.
    /// </summary>
    Shm = 3,

    /// <summary>
    /// How cards come to read each other's memory; the queue pairs that were connected over it end with it.
    /// </summary>
    Verbs = 4,

    /// <summary>Between transfer engines: frames of the engine, by blocking threads.</summary>
    Engine = 5,
}

/// <summary>First frame in each direction.</summary>
internal sealed record Hello : IWireMessage<Hello>
{
    public int WireMin { get; init; } = Wire.VersionMin;

    public int WireMax { get; init; } = Wire.VersionMax;

    public required string Cluster { get; init; }

    public required Lane Lane { get; init; }

    /// <summary>The sender; empty for a client.</summary>
    public required string NodeId { get; init; }

    public required ulong Incarnation { get; init; }

    public long Session { get; init; }

    public ViewId View { get; init; }

    /// <summary>Whom the sender means to reach; empty: whoever answers.</summary>
    public string WantedNode { get; init; } = "";

    /// <summary>The kernel's boot id, for same-host transports.</summary>
    public string BootId { get; init; } = "";

    /// <summary>The sender's nonce, where it has a cluster secret to be proven; empty without one.</summary>
    public byte[] Authentication { get; init; } = [];

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(14);
        writer.Write(Wire.Magic);
        writer.Write(WireMin);
        writer.Write(WireMax);
        Wire.WriteText(ref writer, Cluster);
        writer.Write((int)Lane);
        Wire.WriteText(ref writer, NodeId);
        writer.Write(Incarnation);
        writer.Write(Session);
        Wire.Write(ref writer, View);
        Wire.WriteText(ref writer, WantedNode);
        Wire.WriteText(ref writer, BootId);
        writer.Write(Authentication.AsSpan());
    }

    public static Hello Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 14);
        if (reader.ReadUInt32() != Wire.Magic)
            throw new WireException("no Mooncake.Mesh peer: wrong magic number");
        var hello = new Hello
        {
            WireMin = reader.ReadInt32(),
            WireMax = reader.ReadInt32(),
            Cluster = Wire.ReadText(ref reader),
            Lane = (Lane)reader.ReadInt32(),
            NodeId = Wire.ReadText(ref reader),
            Incarnation = reader.ReadUInt64(),
            Session = reader.ReadInt64(),
            View = Wire.ReadView(ref reader),
            WantedNode = Wire.ReadText(ref reader),
            BootId = Wire.ReadText(ref reader),
            Authentication = Wire.ReadBytes(ref reader, 1024),
        };
        Wire.Leave(ref reader, count, 14);
        return hello;
    }

    /// <summary>Why <paramref name="other"/> cannot talk to <paramref name="self"/>, or null.</summary>
    public static MeshError? Mismatch(Hello self, Hello other)
    {
        string? reason = null;
        if (other.WireMin > self.WireMax || other.WireMax < self.WireMin)
            reason = $"speaks wire versions {other.WireMin} to {other.WireMax}, we {self.WireMin} to {self.WireMax}";
        else if (other.Cluster != self.Cluster)
            reason = $"asks for cluster '{other.Cluster}', this is cluster '{self.Cluster}'";
        else if (other.WantedNode.Length > 0 && other.WantedNode != self.NodeId)
            reason = $"wants node '{other.WantedNode}', we are '{self.NodeId}'";
        else if (!Enum.IsDefined(other.Lane))
            reason = $"asks for lane {(int)other.Lane}, which we do not know";
        return reason is null ? null : new MeshError(MeshErrorCode.Protocol, "handshake", "the peer " + reason);
    }
}

/// <summary>
/// Third frame, and the answer to it, where there is a cluster secret: what shows that the sender knows it. The side
/// that connects sends one for each secret it takes, the other one for the secret both know.
/// </summary>
internal readonly record struct Proof(byte[][] Values) : IWireMessage<Proof>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.WriteArrayHeader(Values.Length);
        foreach (byte[] value in Values)
            writer.Write(value.AsSpan());
    }

    public static Proof Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        byte[][] values = new byte[Wire.ReadCount(ref reader, ClusterSecret.MaxValid)][];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Wire.ReadBytes(ref reader, ClusterSecret.ProofBytes);
            if (values[i].Length != ClusterSecret.ProofBytes)
                throw new WireException($"a proof of {values[i].Length} bytes; {ClusterSecret.ProofBytes} are legal");
        }

        Wire.Leave(ref reader, count, 1);
        return new Proof(values);
    }

    /// <summary>Nothing of the proof: it must not reach a log.</summary>
    public override string ToString() => nameof(Proof);
}

/// <summary>A refused request.</summary>
internal readonly record struct Failure(MeshErrorCode Code, string Stage, string Message,
    int RetryAfterMilliseconds = 0) : IWireMessage<Failure>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(4);
        writer.Write((int)Code);
        Wire.WriteText(ref writer, Stage);
        Wire.WriteText(ref writer, Message.Length > 1000 ? Message[..1000] : Message);
        writer.Write(RetryAfterMilliseconds);
    }

    public static Failure Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 4);
        var failure = new Failure((MeshErrorCode)reader.ReadInt32(), Wire.ReadText(ref reader),
            Wire.ReadText(ref reader), reader.ReadInt32());
        Wire.Leave(ref reader, count, 4);
        return failure;
    }

    public MeshError ToError() => new(Code, Stage, Message);
}
