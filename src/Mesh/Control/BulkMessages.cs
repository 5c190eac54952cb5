// SPDX-License-Identifier: Apache-2.0

using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>Rank 0: keep this object at least so hard from now on.</summary>
internal readonly record struct PinRequest(MeshKey Key, ulong ObjectId, ObjectPin Pin) : IWireRequest<PinRequest, Done>
{
    public static MessageType Type => MessageType.Pin;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(Key.Bytes.AsSpan());
        writer.Write(ObjectId);
        writer.Write((int)Pin);
    }

    public static PinRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var request = new PinRequest(Wire.ReadKey(ref reader), reader.ReadUInt64(), (ObjectPin)reader.ReadInt32());
        Wire.Leave(ref reader, count, 3);
        return request;
    }
}

/// <summary>Rank 0: another holder has evicted this group; evict what you hold of it.</summary>
internal readonly record struct DropGroupRequest(string Group) : IWireRequest<DropGroupRequest, Done>
{
    public static MessageType Type => MessageType.DropGroup;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        Wire.WriteText(ref writer, Group);
    }

    public static DropGroupRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var request = new DropGroupRequest(Wire.ReadText(ref reader));
        Wire.Leave(ref reader, count, 1);
        return request;
    }
}

/// <summary>Rank 0: everything was removed, for the <paramref name="Cleared"/>th time; are you done with it?</summary>
internal readonly record struct ClearRequest(long Cleared) : IWireRequest<ClearRequest, ClearAnswer>
{
    public static MessageType Type => MessageType.Clear;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(Cleared);
    }

    public static ClearRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var request = new ClearRequest(reader.ReadInt64());
        Wire.Leave(ref reader, count, 1);
        return request;
    }
}

/// <summary>The last removal of everything that this node has done completely.</summary>
internal readonly record struct ClearAnswer(long Done) : IWireMessage<ClearAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(Done);
    }

    public static ClearAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var answer = new ClearAnswer(reader.ReadInt64());
        Wire.Leave(ref reader, count, 1);
        return answer;
    }
}

/// <summary>
/// Rank 0: which of your keys, from hash <paramref name="FromHash"/> on, does this regular expression match?
/// </summary>
internal readonly record struct MatchRequest(string Pattern, ulong FromHash) : IWireRequest<MatchRequest, MatchPage>
{
    public static MessageType Type => MessageType.Match;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        Wire.WriteText(ref writer, Pattern);
        writer.Write(FromHash);
    }

    public static MatchRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var request = new MatchRequest(Wire.ReadText(ref reader), reader.ReadUInt64());
        Wire.Leave(ref reader, count, 2);
        return request;
    }
}

/// <summary>Keys that matched among those looked at; <paramref name="NextHash"/> 0: the end.</summary>
internal readonly record struct MatchPage(MeshKey[] Keys, ulong NextHash) : IWireMessage<MatchPage>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        writer.WriteArrayHeader(Keys.Length);
        foreach (var key in Keys)
            writer.Write(key.Bytes.AsSpan());
        writer.Write(NextHash);
    }

    public static MatchPage Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var keys = new MeshKey[Wire.ReadCount(ref reader, Wire.MaxBatch)];
        for (int i = 0; i < keys.Length; i++)
            keys[i] = Wire.ReadKey(ref reader);
        var page = new MatchPage(keys, reader.ReadUInt64());
        Wire.Leave(ref reader, count, 2);
        return page;
    }
}

/// <summary>Rank 2, to any node: remove everything, on every node that can be reached, and wait for it.</summary>
/// <param name="Namespace">Whose objects; named, so that no other message can be taken for this one.</param>
/// <param name="TimeoutMilliseconds">How long the caller waits.</param>
internal readonly record struct RemoveAllRequest(string Namespace, int TimeoutMilliseconds)
    : IWireRequest<RemoveAllRequest, RemoveAllAnswer>
{
    public static MessageType Type => MessageType.RemoveAll;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(2);
        Wire.WriteText(ref writer, Namespace);
        writer.Write(TimeoutMilliseconds);
    }

    public static RemoveAllRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 2);
        var request = new RemoveAllRequest(Wire.ReadText(ref reader), reader.ReadInt32());
        Wire.Leave(ref reader, count, 2);
        return request;
    }
}

/// <summary>Everything was removed.</summary>
/// <param name="Cleared">How often that has happened in this mesh.</param>
/// <param name="Done">Nodes that are done.</param>
/// <param name="Away">Nodes that could not be reached; they are done as soon as they hear of it.</param>
internal readonly record struct RemoveAllAnswer(long Cleared, int Done, int Away) : IWireMessage<RemoveAllAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(Cleared);
        writer.Write(Done);
        writer.Write(Away);
    }

    public static RemoveAllAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var answer = new RemoveAllAnswer(reader.ReadInt64(), reader.ReadInt32(), reader.ReadInt32());
        Wire.Leave(ref reader, count, 3);
        return answer;
    }
}
