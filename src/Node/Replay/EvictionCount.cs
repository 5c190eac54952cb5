// SPDX-License-Identifier: Apache-2.0

using System.Text.Json;
using Mooncake.Mesh.Client;

namespace Mooncake.Mesh.Node.Replay;

/// <summary>Sums counters.evictions over the statuses of a mesh's nodes.</summary>
internal static class EvictionCount
{
    /// <summary>Of the nodes in the view of the node that the client is connected to; -1 when none says.</summary>
    internal static async Task<long> OfAsync(MeshClient client, CancellationToken cancel)
    {
        MeshResult<byte[]> own = await client.TryStatusAsync(null, cancel);
        if (!own.Succeeded)
            return -1;
        long sum = 0;
        bool any = false;
        foreach (string endpoint in Members(own.Value))
        {
            MeshResult<byte[]> status = await client.TryStatusAsync(endpoint, cancel);
            any |= status.Succeeded;
            sum += status.Succeeded ? Math.Max(0, Of(status.Value)) : 0;
        }

        return any ? sum : Of(own.Value);
    }

    /// <summary>Of one status; -1 when it does not say.</summary>
    internal static long Of(byte[] status)
    {
        using JsonDocument document = JsonDocument.Parse(status);
        return document.RootElement.TryGetProperty("counters", out JsonElement counters)
            && counters.TryGetProperty("evictions", out JsonElement evictions)
            && evictions.TryGetInt64(out long count)
                ? count
                : -1;
    }

    private static List<string> Members(byte[] status)
    {
        using JsonDocument document = JsonDocument.Parse(status);
        if (!document.RootElement.TryGetProperty("view", out JsonElement view)
            || !view.TryGetProperty("members", out JsonElement members)
            || members.ValueKind != JsonValueKind.Array)
            return [];
        return [.. members.EnumerateArray()
            .Where(member => member.ValueKind == JsonValueKind.Object)
            .Select(member => member.TryGetProperty("endpoint", out JsonElement endpoint) ? endpoint.GetString() : null)
            .OfType<string>()];
    }
}
