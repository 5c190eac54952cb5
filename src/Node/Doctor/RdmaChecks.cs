// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Node.Configuration;
using Mooncake.Mesh.Verbs.Gids;

namespace Mooncake.Mesh.Node.Doctor;

/// <summary>Whether a node can use the RDMA devices, and by which address. Pure.</summary>
internal static class RdmaChecks
{
    /// <summary>Least MTU of an interface for RoCE packets of 4,096 bytes.</summary>
    internal const int WholeMtu = 4_200;

    /// <summary>Everything about RDMA devices.</summary>
    internal static IEnumerable<Finding> Of(HostFacts facts, Need need)
    {
        yield return Verbs(facts);
        foreach (var device in facts.Rdma)
        {
            yield return Device(device, facts, need);
            foreach (var port in device.Ports)
            {
                foreach (var finding in Port(device, port, facts))
                    yield return finding;
            }
        }
    }

    /// <summary>The GID that a port is used by, without knowing the peer.</summary>
    internal static MeshResult<GidChoice> ChoiceOf(PortFacts port, HostFacts facts) =>
        GidChoice.Choose(port.Gids, port.GidLength, new GidWish { Locals = facts.Locals });

    private static Finding Verbs(HostFacts facts)
    {
        const string Subject = "verbs";
        if (facts.Verbs.NotSupportedReason is not { } reason)
            return new Finding(FindingLevel.Ok, Subject, "libibverbs can be used");
        if (facts.Rdma.Count == 0)
            return new Finding(FindingLevel.Note, Subject, $"{reason}; large values go over tcp");
        bool hasLibrary = reason.StartsWith("no device", StringComparison.Ordinal);
        return new Finding(FindingLevel.Problem, Subject, reason, hasLibrary
            ? "see to the devices that are named below; each needs its provider of ibverbs-providers"
            : "install libibverbs1 and ibverbs-providers");
    }

    private static Finding Device(RdmaFacts device, HostFacts facts, Need need)
    {
        string name = device.Name;
        switch (device.Access)
        {
            case DeviceAccess.NoDriver:
                return new Finding(FindingLevel.Problem, name, "the kernel offers it to no process",
                    "modprobe ib_uverbs");
            case DeviceAccess.Missing:
                return new Finding(FindingLevel.Problem, name, $"there is no {device.File}, as in a container that was "
                    + "not given it", "docker: --device /dev/infiniband; Kubernetes: an RDMA device plugin");
            case DeviceAccess.Refused:
                return new Finding(FindingLevel.Problem, name, $"{device.File} may not be opened by this user",
                    "give its group read and write permission, and this user that group; systemd: DeviceAllow="
                    + "char-infiniband_verbs rw");
        }

        if (!facts.Verbs.MaxMemoryRegion.TryGetValue(name, out long most))
            return new Finding(FindingLevel.Ok, name, $"{device.File} opens");
        long longest = need.Segments.Count == 0 ? 0 : need.Segments.Max(segment => segment.Bytes);
        string text = $"{device.File} opens; a memory region has at most {Quantity.Text(most)}";
        return longest <= most
            ? new Finding(FindingLevel.Ok, name, text)
            : new Finding(FindingLevel.Note, name, $"{text}, and the longest segment has {Quantity.Text(longest)}",
                $"make several segments of at most {Quantity.Text(most)}");
    }

    private static IEnumerable<Finding> Port(RdmaFacts device, PortFacts port, HostFacts facts)
    {
        string subject = $"{device.Name} port {port.Number}";
        string link = port.IsInfiniBand ? "InfiniBand" : "Ethernet";
        if (!port.IsActive)
        {
            // A port that nobody has cabled is no fault as long as there is another.
            bool another = facts.Rdma.Any(other => other.Ports.Any(p => p.IsActive));
            yield return new Finding(another ? FindingLevel.Note : FindingLevel.Problem, subject,
                $"{link}, {(port.State.Length == 0 ? "of unknown state" : port.State)}", port.IsInfiniBand
                    ? "see to its cable and the subnet manager"
                    : $"see to its cable, and 'ip link set {OrInterface(port)} up'");
            yield break;
        }

        var choice = ChoiceOf(port, facts);
        if (choice.Error is { } error)
        {
            yield return new Finding(FindingLevel.Problem, subject, $"{link}, active; {error.Message}",
                $"ip address add ADDRESS/LENGTH dev {OrInterface(port)}");
            yield break;
        }

        yield return new Finding(FindingLevel.Ok, subject,
            $"{link}, active; GID {choice.Value.Gid.Index} {choice.Value.Gid.Address} ({choice.Value.Reason})");
        if (!port.IsInfiniBand && port.InterfaceMtu is > 0 and < WholeMtu)
        {
            yield return new Finding(FindingLevel.Note, subject,
                $"the MTU of {port.Interface} is {port.InterfaceMtu} bytes: packets are smaller than they could be",
                $"ip link set {port.Interface} mtu 9000, where switches and peers have it too");
        }
    }

    private static string OrInterface(PortFacts port) => port.Interface.Length == 0 ? "INTERFACE" : port.Interface;
}
