// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mooncake.Mesh;

/// <summary>What a node says of itself to people: served as JSON by the admin port and the status command.</summary>
public sealed record NodeStatus
{
    /// <summary>The node's name.</summary>
    public required string NodeId { get; init; }

    /// <summary>Name of the mesh.</summary>
    public required string Cluster { get; init; }

    /// <summary>Software version.</summary>
    public required string Version { get; init; }

    /// <summary>New whenever the node's memory is.</summary>
    public required string Incarnation { get; init; }

    /// <summary>The id of the present registry lease, in hexadecimal as etcdctl shows it.</summary>
    public required string Session { get; init; }

    /// <summary>Endpoint that peers are told.</summary>
    public required string Endpoint { get; init; }

    /// <summary>Whether the node answers for its slots.</summary>
    public required bool Ready { get; init; }

    /// <summary>Whether the registry is away or the node's view is not confirmed.</summary>
    public required bool Degraded { get; init; }

    /// <summary>Why it is degraded or not ready, or empty.</summary>
    public required string Reason { get; init; }

    /// <summary>etcd endpoints at which the members register; empty: none that others can reach.</summary>
    public string Registry { get; init; } = "";

    /// <summary>How peers and clients show that they belong here: "secret" or "none".</summary>
    public string Authentication { get; init; } = "none";

    /// <summary>Whether KV data and control travel unencrypted.</summary>
    public bool Plaintext { get; init; } = true;

    /// <summary>The view.</summary>
    public required ViewStatus View { get; init; }

    /// <summary>The slots.</summary>
    public required SlotStatus Slots { get; init; }

    /// <summary>How slots come to this node.</summary>
    public HandoverStatus Handover { get; init; } = new(0, 0, 0, 0, 0, 0, 0);

    /// <summary>What the node has lived through.</summary>
    public LifeStatus Life { get; init; } = new(0, 0, 0, false);

    /// <summary>The memory, in bytes.</summary>
    public required MemoryStatus Memory { get; init; }

    /// <summary>Its two tiers, where it has memory of the host and of devices; else none.</summary>
    public IReadOnlyList<TierStatus> Tiers { get; init; } = [];

    /// <summary>What processes of this host have of the memory.</summary>
    public SharedMemoryStatus SharedMemory { get; init; } = new(0, 0, 0, 0);

    /// <summary>The RDMA cards in use; none: large objects do not travel by RDMA.</summary>
    public IReadOnlyList<CardStatus> Cards { get; init; } = [];

    /// <summary>Counters since the start, by name (docs/metrics.md).</summary>
    public required IReadOnlyDictionary<string, long> Counters { get; init; }

    /// <summary>The status as JSON.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, StatusJson.Default.NodeStatus);

    /// <summary>Parses JSON; null when it is no status.</summary>
    public static NodeStatus? FromJson(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, StatusJson.Default.NodeStatus);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>What an RDMA card has carried since the start, to this node and from it.</summary>
/// <param name="Card">Name of the device.</param>
/// <param name="Bytes">Bytes that arrived, asked for by this node.</param>
/// <param name="Errors">Slices that failed and went over another card, or again.</param>
/// <param name="Pauses">Times it was left alone after a failure.</param>
public sealed record CardStatus(string Card, long Bytes, long Errors, long Pauses);

/// <summary>A view, for people.</summary>
/// <param name="Id">epoch.revision.digest.</param>
/// <param name="Members">Members in order of their ids.</param>
public sealed record ViewStatus(string Id, IReadOnlyList<MemberStatus> Members);

/// <summary>A member, for people.</summary>
/// <param name="NodeId">Its name.</param>
/// <param name="Endpoint">Its first endpoint.</param>
/// <param name="Weight">Its share of the ring.</param>
/// <param name="Leaving">Whether it is leaving.</param>
/// <param name="Bytes">Memory it contributes, in bytes.</param>
/// <param name="Reach">How this node reaches it: fine, refused, silent, self.</param>
public sealed record MemberStatus(string NodeId, string Endpoint, int Weight, bool Leaving, long Bytes, string Reach);

/// <summary>Slots by role and state.</summary>
/// <param name="Primary">Slots this node is primary of.</param>
/// <param name="Backup">Slots this node is backup of.</param>
/// <param name="Complete">Of these, complete ones.</param>
/// <param name="Incomplete">Of these, those being streamed or reconciled.</param>
/// <param name="Lost">Slots of others that are kept until their owners are complete.</param>
/// <param name="Owed">Slots whose mirrors are owed to an owner that is away.</param>
/// <param name="Records">Records and tombstones.</param>
public sealed record SlotStatus(int Primary, int Backup, int Complete, int Incomplete, int Lost, int Owed,
    long Records);

/// <summary>How slots come to this node: the hand-over that goes on, and what was done since the start.</summary>
/// <param name="Wanted">Slots wanted since the present hand-over began; 0: there is none.</param>
/// <param name="Left">Of these, those still incomplete.</param>
/// <param name="Seconds">How long it has been going on.</param>
/// <param name="StreamedSlots">Slots made complete by a stream whose digest agreed.</param>
/// <param name="ReconciledSlots">Slots made complete by asking every holder.</param>
/// <param name="StreamedRecords">Records received in streams.</param>
/// <param name="DigestMismatches">Parts of slots that did not add up to their digest.</param>
public sealed record HandoverStatus(int Wanted, int Left, double Seconds, long StreamedSlots, long ReconciledSlots,
    long StreamedRecords, long DigestMismatches);

/// <summary>What a node has lived through since its start.</summary>
/// <param name="Pauses">Times it stood still for longer than a third of its lease.</param>
/// <param name="Expulsions">Times a view was without it.</param>
/// <param name="Renewals">Times it was expelled for so long that it dropped everything.</param>
/// <param name="Confirmed">Whether registry or peers confirm its view; if not, it answers Unsure.</param>
public sealed record LifeStatus(long Pauses, long Expulsions, long Renewals, bool Confirmed);

/// <summary>Contributed memory, in bytes: used = live + filling + zombie.</summary>
/// <param name="Capacity">Contributed.</param>
/// <param name="Live">In objects.</param>
/// <param name="Filling">In puts under way.</param>
/// <param name="Zombie">Removed or evicted, but still pinned.</param>
/// <param name="Free">Free.</param>
/// <param name="LargestFree">The largest hole.</param>
/// <param name="Objects">Objects held.</param>
public sealed record MemoryStatus(long Capacity, long Live, long Filling, long Zombie, long Free, long LargestFree,
    long Objects);

/// <summary>Memory of one kind, in bytes; of retired segments nothing is counted.</summary>
/// <param name="Tier">"dram" or "vram".</param>
/// <param name="Capacity">Contributed.</param>
/// <param name="Used">Not free.</param>
/// <param name="Free">Free.</param>
public sealed record TierStatus(string Tier, long Capacity, long Used, long Free);

/// <summary>What processes of this host have of the memory.</summary>
/// <param name="Processes">Processes that have opened it.</param>
/// <param name="Views">Views they have open; the objects stay in place meanwhile.</param>
/// <param name="ViewBytes">Bytes in these.</param>
/// <param name="ReservedBytes">Bytes of reservations that they fill themselves.</param>
public sealed record SharedMemoryStatus(int Processes, int Views, long ViewBytes, long ReservedBytes);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(NodeStatus))]
internal sealed partial class StatusJson : JsonSerializerContext;
