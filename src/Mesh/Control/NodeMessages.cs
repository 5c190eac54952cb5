// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>Are you there, and in which view?</summary>
internal readonly record struct PingRequest(ViewId View) : IWireRequest<PingRequest, PingAnswer>, IVersionedMessage
{
    public static MessageType Type => MessageType.Ping;

    public void Write(ref MessagePackWriter writer) => Write(ref writer, Wire.VersionMax);

    public void Write(ref MessagePackWriter writer, int version)
    {
        writer.WriteArrayHeader(version >= 2 ? 4 : 3);
        Wire.Write(ref writer, View);
        if (version >= 2)
            writer.Write(View.Mesh);
    }

    public static PingRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 3);
        var request = new PingRequest(Wire.ReadView(ref reader));
        if (count >= 4)
            request = new PingRequest(request.View with { Mesh = reader.ReadUInt64() });
        Wire.Leave(ref reader, count, Math.Min(count, 4));
        return request;
    }
}

/// <summary>
/// The answering node's view, the share of its memory that is free, whether it takes puts, the last view it was in that
/// was without the asking node, since which view its ring has been as it is, and whether a former member may still
/// decide in an older view, as far as it knows. From wire version 2 on each view comes with its mesh.
/// </summary>
internal readonly record struct PingAnswer(ViewId View, long FreeBytes, bool Leaving, ViewId Without, ViewId RingSince,
    bool AwaitsFormer) : IWireMessage<PingAnswer>, IVersionedMessage
{
    public void Write(ref MessagePackWriter writer) => Write(ref writer, Wire.VersionMax);

    public void Write(ref MessagePackWriter writer, int version)
    {
        writer.WriteArrayHeader(version >= 2 ? 15 : 11);
        Wire.Write(ref writer, View);
        writer.Write(FreeBytes);
        writer.Write(Leaving);
        Wire.Write(ref writer, Without);
        Wire.Write(ref writer, RingSince);
        if (version < 2)
            return;
        writer.Write(AwaitsFormer);
        writer.Write(View.Mesh);
        writer.Write(Without.Mesh);
        writer.Write(RingSince.Mesh);
    }

    public static PingAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 5);
        var answer = new PingAnswer(Wire.ReadView(ref reader), reader.ReadInt64(), reader.ReadBoolean(),
            count >= 11 ? Wire.ReadView(ref reader) : default,
            count >= 11 ? Wire.ReadView(ref reader) : new ViewId(long.MaxValue, 0, 0),
            count >= 12 && reader.ReadBoolean());
        if (count >= 15)
        {
            answer = answer with
            {
                View = answer.View with { Mesh = reader.ReadUInt64() },
                Without = answer.Without with { Mesh = reader.ReadUInt64() },
                RingSince = answer.RingSince with { Mesh = reader.ReadUInt64() },
            };
        }

        Wire.Leave(ref reader, count, count >= 15 ? 15 : count >= 12 ? 12 : count >= 11 ? 11 : 5);
        return answer;
    }
}

/// <summary>Your view's members, from the <paramref name="From"/>th on.</summary>
internal readonly record struct ViewPullRequest(int From) : IWireRequest<ViewPullRequest, ViewPage>
{
    public static MessageType Type => MessageType.ViewPull;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(From);
    }

    public static ViewPullRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var request = new ViewPullRequest(reader.ReadInt32());
        Wire.Leave(ref reader, count, 1);
        return request;
    }
}

/// <summary>
/// A page of a view: config and member records as the registry holds them (JSON), and the past of its ring.
/// </summary>
internal readonly record struct ViewPage(ViewId View, byte[] Config, int Total, byte[][] Members, RingPast Past)
    : IWireMessage<ViewPage>
{
    /// <summary>Bytes of member records in one page.</summary>
    public const int PageBytes = 512 * 1024;

    private const int MaxMembers = 32_767;

    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(9);
        Wire.Write(ref writer, View);
        writer.Write(Config.AsSpan());
        writer.Write(Total);
        writer.WriteArrayHeader(Members.Length);
        foreach (byte[] member in Members)
            writer.Write(member.AsSpan());
        writer.Write(Past.AsOf);
        writer.Write(Past.Since);
        writer.WriteArrayHeader(Past.Changes.Count);
        foreach (var change in Past.Changes)
        {
            writer.WriteArrayHeader(3);
            writer.Write(change.Revision);
            Wire.WriteText(ref writer, change.NodeId);
            writer.Write(change.Weight);
        }
    }

    public static ViewPage Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 6);
        var view = Wire.ReadView(ref reader);
        byte[] config = Wire.ReadBytes(ref reader, Wire.MaxText);
        int total = reader.ReadInt32();
        byte[][] members = new byte[Wire.ReadCount(ref reader, MaxMembers)][];
        for (int i = 0; i < members.Length; i++)
            members[i] = Wire.ReadBytes(ref reader, NodeRecord.MaxBytes);
        var past = count >= 9 ? ReadPast(ref reader) : RingPast.Unknown;
        Wire.Leave(ref reader, count, count >= 9 ? 9 : 6);
        return new ViewPage(view, config, total, members, past);
    }

    private static RingPast ReadPast(ref MessagePackReader reader)
    {
        long asOf = reader.ReadInt64();
        long since = reader.ReadInt64();
        var changes = new RingChange[Wire.ReadCount(ref reader, RingPast.MostChanges)];
        for (int i = 0; i < changes.Length; i++)
        {
            int fields = Wire.Enter(ref reader, 3);
            changes[i] = new RingChange(reader.ReadInt64(), Wire.ReadText(ref reader), reader.ReadInt32());
            Wire.Leave(ref reader, fields, 3);
        }

        return new RingPast(asOf, since, changes);
    }
}

/// <summary>Your status, as JSON.</summary>
internal readonly record struct StatusRequest : IWireRequest<StatusRequest, StatusAnswer>
{
    public static MessageType Type => MessageType.Status;

    public void Write(ref MessagePackWriter writer) => writer.WriteArrayHeader(0);

    public static StatusRequest Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 0);
        Wire.Leave(ref reader, count, 0);
        return default;
    }
}

/// <summary>A node's status.</summary>
internal readonly record struct StatusAnswer(byte[] Json) : IWireMessage<StatusAnswer>
{
    public void Write(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(1);
        writer.Write(Json.AsSpan());
    }

    public static StatusAnswer Read(ref MessagePackReader reader)
    {
        int count = Wire.Enter(ref reader, 1);
        var answer = new StatusAnswer(Wire.ReadBytes(ref reader, Wire.MaxFrame));
        Wire.Leave(ref reader, count, 1);
        return answer;
    }
}
